package conf

import (
	"errors"
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

func (k *Key) addRule(rule string) (err error) {
	name, value, _ := strings.Cut(rule, "=")
	switch name {
	case "nonzero", "nonnil":
		k.Required = true
	case "min":
		k.Min, k.least, err = k.limit(value)
	case "max":
		k.Max, k.most, err = k.limit(value)
	case "len":
		if k.Min, k.least, err = k.limit(value); err == nil {
			k.Max, k.most, err = k.limit(value)
		}
	case "oneof":
		at := k
		if k.Kind == List {
			at = k.Elem
		}
		at.Allowed = strings.Split(value, "|")
	case "regexp":
		k.Pattern = value
		k.pattern, err = regexp.Compile(value)
	default:
		err = errors.New("there is no such rule")
	}
	return err
}

// limit reads a limit of k: a value of its kind, or a length.
func (k *Key) limit(text string) (string, *float64, error) {
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
		return "", nil, err
	}
	n := measure(v)
	return text, &n, nil
}
