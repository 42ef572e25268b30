package conf

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// splitRules cuts at commas, but for those behind a backslash, which regular expressions need.
func splitRules(tag string) (out []string) {
	for _, r := range strings.Split(strings.ReplaceAll(tag, `\,`, "\x00"), ",") {
		if r = strings.TrimSpace(strings.ReplaceAll(r, "\x00", ",")); r != "" {
			out = append(out, r)
		}
	}
	return out
}

// addRule adds a rule, and what validator.v2 is to check of it: limits as numbers, whatever their unit is.
func (k *Key) addRule(rule string) error {
	name, value, _ := strings.Cut(rule, "=")
	var err error
	switch name {
	case "nonzero", "nonnil":
		k.Required = true
	case "min":
		k.Min, rule, err = k.limit(name, value)
	case "max":
		k.Max, rule, err = k.limit(name, value)
	case "len":
		k.Max, rule, err = k.limit(name, value)
		k.Min = k.Max
	case "oneof":
		at := k
		if k.Kind == List {
			at = k.Elem
		}
		at.Allowed = strings.Split(value, "|")
		return nil // validator.v2 has no such rule
	case "regexp":
		k.Pattern = value
		rule = strings.ReplaceAll(rule, ",", `\,`)
		_, err = regexp.Compile(value)
	default:
		err = errors.New("there is no such rule")
	}
	if k.check != "" {
		k.check += ","
	}
	k.check += rule
	return err
}

// limit reads a limit of k: a value of its kind, or a length. It returns the limit as it stands in a file, and the rule
// with it as a number.
func (k *Key) limit(name, text string) (shown, rule string, err error) {
	v := reflect.ValueOf(new(int)).Elem()
	switch k.Kind {
	case Integer, Number, Bytes:
		v = reflect.New(k.typ).Elem()
	case Duration:
		v = reflect.New(k.typ).Elem()
		if n, err := strconv.ParseInt(text, 10, 64); err == nil { // nanoseconds, as of old
			text = time.Duration(n).String()
		}
	}
	if err := setText(v, text); err != nil {
		return "", "", err
	}
	if v.CanInt() { // not its text, which may have a unit
		return text, fmt.Sprintf("%s=%d", name, v.Int()), nil
	}
	return text, fmt.Sprintf("%s=%v", name, v.Interface()), nil
}
