package conf

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"

	"gopkg.in/validator.v2"
)

// limits finds the first value below v, in the order of the schema, that breaks a rule.
func (k *Key) limits(v reflect.Value, path string) (string, error) {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			if k.Required {
				return path, errEmpty
			}
			return "", nil
		}
		v = v.Elem()
	}
	if err := k.rules(v); err != nil {
		return path, err
	}
	switch k.Kind {
	case Mapping:
		for _, c := range k.Keys {
			if p, err := c.limits(v.FieldByIndex(c.index), join(path, c.Name)); err != nil {
				return p, err
			}
		}
	case List:
		for i := range v.Len() {
			if p, err := k.Elem.limits(v.Index(i), fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return p, err
			}
		}
	case Names:
		names := v.MapKeys()
		slices.SortFunc(names, func(a, b reflect.Value) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		for _, name := range names {
			if p, err := k.Elem.limits(v.MapIndex(name), join(path, fmt.Sprint(name))); err != nil {
				return p, err
			}
		}
	}
	return "", nil
}

var errEmpty = errors.New("must not be empty; the key is required")

// rules checks one value. What is wrong is said here, since the texts of validator.v2 don't name what is allowed.
func (k *Key) rules(v reflect.Value) error {
	found := fmt.Sprint(v)
	if len(k.Allowed) > 0 && !slices.Contains(k.Allowed, found) && (found != "" || k.Default != "" || k.Name == "") {
		// an empty text means that the key is not set, unless it has a default or is an entry of a list
		return k.outOf(show(v))
	}
	switch {
	case k.check == "":
		return nil
	case v.CanFloat() && math.IsNaN(v.Float()): // validator.v2 lets it pass every limit
		return k.outOf(show(v))
	}
	err := validator.Valid(v.Interface(), k.check)
	wrong := validator.ErrorArray{}
	switch {
	case !errors.As(err, &wrong) || len(wrong) == 0:
		return err
	case errors.Is(wrong[0], validator.ErrZeroValue):
		return errEmpty
	case errors.Is(wrong[0], validator.ErrRegexp):
		return fmt.Errorf("must match %s; found %q", k.Pattern, found)
	}
	return k.outOf(show(v))
}

// outOf returns an error that says which values are allowed, and which one was found.
func (k *Key) outOf(found string) error {
	low, high := k.Min, k.Max
	if low == "" && high != "" && k.unsigned() {
		low = "0"
	}
	unit := ""
	if k.Kind == Text {
		unit = " bytes long"
	} else if k.countable() {
		unit = " entries long"
	}
	want := ""
	switch {
	case len(k.Allowed) == 2:
		want = k.Allowed[0] + " or " + k.Allowed[1]
	case len(k.Allowed) > 0:
		want = "one of " + strings.Join(k.Allowed, ", ")
	case low != "" && low == high:
		want = low + unit
	case low != "" && high != "":
		want = fmt.Sprintf("between %s and %s%s", low, high, unit)
	case low == "1ns":
		want = "more than 0s"
	case low != "":
		want = "at least " + low + unit
	default:
		want = "at most " + high + unit
	}
	return fmt.Errorf("must be %s; found %s", want, found)
}

func (k *Key) countable() bool { return k.Kind == List || k.Kind == Names || k.Kind == Text }

func (k *Key) unsigned() bool {
	return k.typ.Kind() >= reflect.Uint && k.typ.Kind() <= reflect.Uint64
}

// show prints a value as it would stand in a file.
func show(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return showDuration(x)
	case Size:
		return x.String()
	case Secret:
		return x.String()
	}
	switch v.Kind() {
	case reflect.String:
		return fmt.Sprintf("%q", v.String())
	case reflect.Slice, reflect.Map:
		return fmt.Sprint(v.Len())
	}
	return fmt.Sprint(v)
}

// showDuration leaves out the zeros at the end: 1h, not 1h0m0s.
func showDuration(d time.Duration) string {
	text := d.String()
	for _, zeros := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zeros) {
			text = text[:len(text)-2]
		}
	}
	return text
}
