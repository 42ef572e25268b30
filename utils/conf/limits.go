package conf

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"
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

func (k *Key) rules(v reflect.Value) error {
	found := fmt.Sprint(v)
	switch {
	case len(k.Allowed) > 0 && !slices.Contains(k.Allowed, found) && (found != "" || k.Default != "" || k.Name == ""):
		return k.outOf(show(v)) // an empty text means that the key is not set, unless it has a default or is an entry of a list
	case k.Required && (v.IsZero() || k.countable() && v.Len() == 0):
		return errEmpty
	case k.pattern != nil && !k.pattern.MatchString(found):
		return fmt.Errorf("must match %s; found %q", k.Pattern, found)
	case k.least == nil && k.most == nil:
		return nil
	}
	n := measure(v)
	if k.least != nil && !(n >= *k.least) || k.most != nil && !(n <= *k.most) { // not a number is out of every limit
		return k.outOf(show(v))
	}
	return nil
}

// outOf says that a value is not among the allowed ones, which those are, and what it is.
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

// measure is what limits are compared with: the value of a number, the length of others.
func measure(v reflect.Value) float64 {
	switch {
	case v.CanInt():
		return float64(v.Int())
	case v.CanUint():
		return float64(v.Uint())
	case v.CanFloat():
		return v.Float()
	case v.Kind() == reflect.String, v.Kind() == reflect.Slice, v.Kind() == reflect.Map, v.Kind() == reflect.Array:
		return float64(v.Len())
	}
	return 0
}
