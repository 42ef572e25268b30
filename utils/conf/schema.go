package conf

import (
	"errors"
	"fmt"
	"reflect"
	"sort"
	"strings"
	"time"

	"github.com/creasty/defaults"
	"gopkg.in/yaml.v2"
)

var (
	unmarshaler  = reflect.TypeFor[yaml.Unmarshaler]()
	durationType = reflect.TypeFor[time.Duration]()
)

// schema compares a YAML tree with the Go type that it is for.
type schema struct {
	root    reflect.Type
	allowed []string
	others  bool
}

// check finds the first key that the type doesn't know, or that stands twice.
func (s schema) check(node any, t reflect.Type, path string) (string, error) {
	t = deref(t)
	if node == nil || leaf(t) {
		if n, ok := node.(int); ok && t == durationType && n != 0 {
			return path, fmt.Errorf("a duration needs a unit, for example %ds", n)
		}
		return "", nil
	}
	switch t.Kind() {
	case reflect.Struct:
		m, ok := node.(yaml.MapSlice)
		if !ok {
			return "", nil // decoding reports the type
		}
		fields, seen := fieldsOf(t), map[string]bool{}
		for _, item := range m {
			key, at := fmt.Sprint(item.Key), join(path, fmt.Sprint(item.Key))
			if seen[key] {
				return at, errors.New("stands twice")
			}
			seen[key] = true
			f, ok := fields[key]
			if !ok {
				if path == "" && (s.others || contains(s.allowed, key)) {
					continue
				}
				return at, s.unknown(key, fields)
			}
			if p, err := s.check(item.Value, f.Type, at); err != nil {
				return p, err
			}
		}
	case reflect.Slice:
		list, _ := node.([]any)
		for i, e := range list {
			if p, err := s.check(e, t.Elem(), fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return p, err
			}
		}
	case reflect.Map:
		m, _ := node.(yaml.MapSlice)
		seen := map[string]bool{}
		for _, item := range m {
			at := join(path, fmt.Sprint(item.Key))
			if seen[at] {
				return at, errors.New("stands twice")
			}
			seen[at] = true
			if p, err := s.check(item.Value, t.Elem(), at); err != nil {
				return p, err
			}
		}
	}
	return "", nil
}

// unknown says what the writer may have meant: a near name in the same place, or the same name in another place.
func (s schema) unknown(key string, fields map[string]reflect.StructField) error {
	var known []string
	best, dist := "", 3
	for name := range fields {
		known = append(known, name)
	}
	sort.Strings(known)
	for _, name := range known {
		if d := distance(strings.ToLower(key), name); d < dist && d < len(name) {
			best, dist = name, d
		}
	}
	if best != "" {
		return fmt.Errorf("unknown key; did you mean %q?", best)
	}
	if at := find(s.root, key, "", 0); at != "" {
		return fmt.Errorf("unknown key here; it belongs at %s", at)
	}
	return fmt.Errorf("unknown key; known here: %s", strings.Join(known, ", "))
}

// find returns the key path at which a type has key.
func find(t reflect.Type, key, path string, depth int) string {
	t = deref(t)
	if depth > 8 || leaf(t) {
		return ""
	}
	switch t.Kind() {
	case reflect.Slice:
		return find(t.Elem(), key, path+"[]", depth+1)
	case reflect.Map:
		return find(t.Elem(), key, path+".<name>", depth+1)
	case reflect.Struct:
		fields := fieldsOf(t)
		if _, ok := fields[key]; ok {
			return join(path, key)
		}
		names := make([]string, 0, len(fields))
		for name := range fields {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			if at := find(fields[name].Type, key, join(path, name), depth+1); at != "" {
				return at
			}
		}
	}
	return ""
}

// locate finds the value that made decoding fail, by decoding each leaf alone.
func locate(node any, t reflect.Type, path string, whole error) (string, error) {
	if p, err := probe(node, t, path); err != nil {
		return p, err
	}
	return "", errors.New(strings.TrimPrefix(whole.Error(), "yaml: "))
}

func probe(node any, t reflect.Type, path string) (string, error) {
	t = deref(t)
	if node == nil {
		return "", nil
	}
	if !leaf(t) {
		switch t.Kind() {
		case reflect.Struct:
			m, ok := node.(yaml.MapSlice)
			if !ok {
				return path, fmt.Errorf("expected a mapping, found %s", describe(node))
			}
			fields := fieldsOf(t)
			for _, item := range m {
				if f, ok := fields[fmt.Sprint(item.Key)]; ok {
					if p, err := probe(item.Value, f.Type, join(path, fmt.Sprint(item.Key))); err != nil {
						return p, err
					}
				}
			}
			return "", nil
		case reflect.Slice:
			list, ok := node.([]any)
			if !ok {
				return path, fmt.Errorf("expected a list, found %s", describe(node))
			}
			for i, e := range list {
				if p, err := probe(e, t.Elem(), fmt.Sprintf("%s[%d]", path, i)); err != nil {
					return p, err
				}
			}
			return "", nil
		case reflect.Map:
			m, ok := node.(yaml.MapSlice)
			if !ok {
				return path, fmt.Errorf("expected a mapping, found %s", describe(node))
			}
			for _, item := range m {
				if p, err := probe(item.Value, t.Elem(), join(path, fmt.Sprint(item.Key))); err != nil {
					return p, err
				}
			}
			return "", nil
		}
	}
	text, err := yaml.Marshal(node)
	if err != nil {
		return path, err
	}
	if err := yaml.Unmarshal(text, reflect.New(t).Interface()); err != nil {
		var te *yaml.TypeError
		if errors.As(err, &te) {
			return path, fmt.Errorf("expected %s, found %s", kindName(t), describe(node))
		}
		return path, err
	}
	return "", nil
}

// fill gives absent keys their defaults. A fresh value of each struct type carries them, so that the default tags keep the
// meaning that creasty/defaults gives them.
func fill(node any, v reflect.Value) error {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	if leaf(v.Type()) {
		return nil
	}
	switch v.Kind() {
	case reflect.Struct:
		present := map[string]any{}
		if m, ok := node.(yaml.MapSlice); ok {
			for _, item := range m {
				present[fmt.Sprint(item.Key)] = item.Value
			}
		}
		fresh := reflect.New(v.Type())
		if err := defaults.Set(fresh.Interface()); err != nil {
			return fmt.Errorf("set defaults of %s: %w", v.Type(), err)
		}
		return fillFields(v, fresh.Elem(), present)
	case reflect.Slice:
		list, _ := node.([]any)
		for i := 0; i < v.Len() && i < len(list); i++ {
			if err := fill(list[i], v.Index(i)); err != nil {
				return err
			}
		}
	case reflect.Map:
		m, _ := node.(yaml.MapSlice)
		for _, item := range m {
			key := reflect.ValueOf(fmt.Sprint(item.Key))
			if !key.Type().ConvertibleTo(v.Type().Key()) {
				continue
			}
			key = key.Convert(v.Type().Key())
			e := v.MapIndex(key)
			if !e.IsValid() || deref(e.Type()).Kind() != reflect.Struct {
				continue
			}
			c := reflect.New(e.Type()).Elem()
			c.Set(e)
			if err := fill(item.Value, c); err != nil {
				return err
			}
			v.SetMapIndex(key, c)
		}
	}
	return nil
}

func fillFields(v, fresh reflect.Value, present map[string]any) error {
	for i := 0; i < v.NumField(); i++ {
		f := v.Type().Field(i)
		name, inline, skip := keyOf(f)
		if skip {
			continue
		}
		if inline {
			if err := fillFields(v.Field(i), fresh.Field(i), present); err != nil {
				return err
			}
			continue
		}
		if node, ok := present[name]; ok && node != nil {
			if err := fill(node, v.Field(i)); err != nil {
				return err
			}
		} else if v.Field(i).IsZero() {
			v.Field(i).Set(fresh.Field(i))
		}
	}
	return nil
}

// leaf is a type that reads its YAML by itself.
func leaf(t reflect.Type) bool {
	return t.Implements(unmarshaler) || reflect.PointerTo(t).Implements(unmarshaler) || t == durationType
}

func deref(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// fieldsOf maps the keys of a struct, inlined ones included, to its fields.
func fieldsOf(t reflect.Type) map[string]reflect.StructField {
	out := map[string]reflect.StructField{}
	for i := 0; i < t.NumField(); i++ {
		f := t.Field(i)
		name, inline, skip := keyOf(f)
		switch {
		case skip:
		case inline:
			for k, v := range fieldsOf(deref(f.Type)) {
				out[k] = v
			}
		default:
			out[name] = f
		}
	}
	return out
}

// keyOf applies the naming rules of yaml.v2.
func keyOf(f reflect.StructField) (name string, inline, skip bool) {
	tag := f.Tag.Get("yaml")
	if tag == "-" || !f.IsExported() && !f.Anonymous {
		return "", false, true
	}
	parts := strings.Split(tag, ",")
	for _, p := range parts[1:] {
		if p == "inline" {
			return "", true, false
		}
	}
	if parts[0] != "" {
		return parts[0], false, false
	}
	return strings.ToLower(f.Name), false, false
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func contains(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}

func kindName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a text"
	case reflect.Float32, reflect.Float64:
		return "a number"
	}
	if t == durationType {
		return "a duration such as 30s"
	}
	return "a whole number"
}

func describe(node any) string {
	switch n := node.(type) {
	case yaml.MapSlice:
		return "a mapping"
	case []any:
		return "a list"
	default:
		return fmt.Sprintf("%q", fmt.Sprint(n))
	}
}

// distance is the number of edits between two short words (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		prev := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := prev
			if a[i-1] != b[j-1] {
				cost++
			}
			prev = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
