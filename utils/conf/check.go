package conf

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v2"
)

// checker compares the tree of a file with a schema.
type checker struct {
	root    *Key
	allowed []string // top-level keys that others read
	others  bool     // all of them
	// told of unknown keys; nil: they are errors
	pass func(path string, err error)
}

// check finds the first thing below node, in the order of the file, that k does not allow: an unknown key, one that
// stands twice, a value of the wrong type. path is where node stands.
func (c checker) check(node any, k *Key, path string) (string, error) {
	if node == nil { // as if it were absent
		return "", nil
	}
	switch k.Kind {
	case Mapping, Names:
		m, ok := node.(yaml.MapSlice)
		if !ok {
			return path, wrong(k, node)
		}
		return c.checkMapping(m, k, path)
	case List:
		list, ok := node.([]any)
		if !ok {
			return path, wrong(k, node)
		}
		for i, e := range list {
			if p, err := c.check(e, k.Elem, fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return p, err
			}
		}
		return "", nil
	}
	err := k.checkValue(node)
	if below := new(Error); errors.As(err, &below) { // a type that reads its YAML by itself knows the rest of the path
		return join(path, below.Path), below.Err
	}
	return path, err
}

func (c checker) checkMapping(m yaml.MapSlice, k *Key, path string) (string, error) {
	seen := map[string]bool{}
	for _, item := range m {
		name := fmt.Sprint(item.Key)
		at := join(path, name)
		if seen[name] {
			return at, errors.New("stands twice; keep one of them")
		}
		seen[name] = true
		next := k.Elem
		if k.Kind == Mapping {
			if next = k.key(name); next == nil {
				if k == c.root && (c.others || slices.Contains(c.allowed, name)) {
					continue
				}
				if c.pass == nil {
					return at, c.unknown(name, k)
				}
				c.pass(at, c.unknown(name, k))
				continue
			}
		}
		if p, err := c.check(item.Value, next, at); err != nil {
			return p, err
		}
	}
	return "", nil
}

// checkValue tells whether node, which is no mapping and no list unless k.Kind is Special or Any, can be decoded.
func (k *Key) checkValue(node any) error {
	text, isText := node.(string)
	switch k.Kind {
	case Hidden:
		if m, ok := node.(yaml.MapSlice); ok {
			return checkReference(m)
		}
		if _, ok := node.([]any); ok {
			return wrong(k, node)
		}
	case Text:
		if _, ok := node.(yaml.MapSlice); ok {
			return wrong(k, node)
		}
		if _, ok := node.([]any); ok {
			return wrong(k, node)
		}
	case Flag:
		if _, ok := node.(bool); !ok {
			return wrong(k, node)
		}
	case Integer:
		return k.checkInteger(node)
	case Number:
		if _, ok := numeric(node); !ok {
			return wrong(k, node)
		}
	case Duration:
		if isText {
			return checkDuration(text)
		}
		n, ok := numeric(node)
		switch {
		case !ok:
			return wrong(k, node)
		case n != 0:
			return fmt.Errorf("a duration needs a unit, for example %vs", node)
		case fmt.Sprint(node) != "0":
			return wrong(k, node)
		}
	case Bytes, Special:
		if n, ok := node.(float64); ok && k.Kind == Bytes {
			node = strconv.FormatFloat(n, 'f', -1, 64)
		}
		data, err := yaml.Marshal(node)
		if err == nil {
			err = decode(data, reflect.New(k.typ).Interface())
		}
		var te *yaml.TypeError
		if errors.As(err, &te) {
			return wrong(k, node)
		}
		return err
	}
	return nil
}

// checkInteger refuses what is no whole number, and one that the type has no room for.
func (k *Key) checkInteger(node any) error {
	n, ok := numeric(node)
	if !ok || n != math.Trunc(n) {
		return wrong(k, node)
	}
	data, err := yaml.Marshal(node)
	if err == nil && decode(data, reflect.New(k.typ).Interface()) == nil {
		return nil
	}
	limited := *k // by its type where it is not by a rule
	bits := k.typ.Bits()
	low, high := "0", strconv.FormatUint(math.MaxUint64>>(64-bits), 10)
	if !k.unsigned() {
		low, high = strconv.FormatInt(math.MinInt64>>(64-bits), 10), strconv.FormatInt(math.MaxInt64>>(64-bits), 10)
	}
	limited.Min, limited.Max = cmp.Or(k.Min, low), cmp.Or(k.Max, high)
	return limited.outOf(strconv.FormatFloat(n, 'f', -1, 64))
}

func checkDuration(text string) error {
	if _, err := time.ParseDuration(text); err == nil {
		return nil
	}
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return fmt.Errorf("a duration needs a unit, for example %ss", text)
	}
	if number := strings.TrimRight(text, "hmsnuµ"); number != "" && strings.Trim(number, "0123456789.-") == "" {
		return fmt.Errorf("%q is longer than a duration can be; the longest is %s", text,
			showDuration(time.Duration(math.MaxInt64).Truncate(time.Hour)))
	}
	return fmt.Errorf("expected a duration such as 30s, found %q; units are ms, s, m and h", text)
}

func numeric(node any) (float64, bool) {
	switch n := node.(type) {
	case int:
		return float64(n), true
	case int64:
		return float64(n), true
	case uint64:
		return float64(n), true
	case float64:
		return n, true
	}
	return 0, false
}

// wrong says that node has another form than k.
func wrong(k *Key, node any) error {
	hint := ""
	if text, ok := node.(string); ok {
		var bare any // what it would be without quotes
		err := decode([]byte(text), &bare)
		if _, still := bare.(string); err == nil && !still && bare != nil && k.checkValue(bare) == nil {
			hint = "; remove the quotes"
			if k.Kind == List || k.Kind == Mapping || k.Kind == Names {
				hint += "; a variable gives neither list nor mapping"
			}
		}
	}
	if k.Kind == List && hint == "" {
		hint = "; write each entry after a dash"
	}
	return fmt.Errorf("expected %s, found %s%s", k.Form, describe(node), hint)
}

// describe says what stands in a file in words that fit an error.
func describe(node any) string {
	switch n := node.(type) {
	case yaml.MapSlice:
		return "a mapping"
	case []any:
		return "a list"
	case string:
		if len(n) > 60 {
			n = strings.ToValidUTF8(n[:60], "") + "…"
		}
		return fmt.Sprintf("%q", n)
	default:
		return fmt.Sprint(n)
	}
}
