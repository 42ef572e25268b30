package conf

import (
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gopkg.in/yaml.v2"
)

// Kind is what a value looks like in a file.
type Kind string

// Kinds of values.
const (
	Mapping  Kind = "mapping" // of the keys in Keys
	Names    Kind = "names"   // mapping of names that the user chooses, to Elem
	List     Kind = "list"    // of Elem
	Text     Kind = "text"
	Flag     Kind = "true or false"
	Integer  Kind = "whole number"
	Number   Kind = "number"
	Duration Kind = "duration" // 30s
	Bytes    Kind = "size"     // 32k
	Hidden   Kind = "secret"   // text, or where it stands, see Secret
	Any      Kind = "any"      // YAML of any form
	Special  Kind = "special"  // a type that reads its YAML by itself; Form says what it takes
)

// Key is one key of a configuration with all that is known of it, read from the field of a Go struct. It is not changed
// after it is made. Tags of the field:
//
//	yaml      name in the file, as yaml.v2 has it, `,inline` included
//	default   (creasty/defaults) value of an absent key; for a mapping the defaults of its keys as JSON: {"max": 15}
//	zero      "default": a value that is zero or empty counts as absent; for a mapping, also those of its keys
//	derived   for people: where Complete takes the value of an absent key from
//	legacy    path of the key that replaces this one; this one is still read, but no error or document suggests it
//	validate  (validator.v2) rules, with commas between them: nonzero, min=, max=, len= (a value written as
//	          in the file; for text and lists the length), oneof=a|b (for a list what its entries may be), regexp=
type Key struct {
	Name     string   // in the file; empty for the root and for elements
	Path     string   // rules[].subscribe.qos, networks.<name>.driver
	Kind     Kind     //
	Form     string   // for people: "a duration such as 30s"
	Default  string   // as in the file; empty: none, or the zero value
	Derived  string   // where an absent key gets its value from, if not from Default
	Legacy   string   // path of the key that replaces this one
	Required bool     // must not be empty
	Allowed  []string // the only values
	Min, Max string   // limits as in the file, of the length for text, lists and names; empty: none
	Pattern  string   // regular expression that a text has to match
	Keys     []*Key   // of a mapping, in the order of the struct
	Elem     *Key     // of a list or of names

	typ   reflect.Type // without pointers
	index []int        // of the field, from the struct of the parent
	zero  bool         // zero counts as absent
	check string       // the rules as validator.v2 reads them
}

// Former is a type with its own UnmarshalYAML. Form describes for people what it takes: "a list of names, or …".
type Former interface{ Form() string }

var (
	unmarshaler  = reflect.TypeFor[yaml.Unmarshaler]()
	durationType = reflect.TypeFor[time.Duration]()
	sizeType     = reflect.TypeFor[Size]()
	secretType   = reflect.TypeFor[Secret]()
	schemas      sync.Map // reflect.Type → *Key
)

// Schema returns the root of the keys that the struct type T has. All of the package uses it, and what describes
// configurations to people or programs is made from it.
func Schema[T any]() *Key { return schemaOf(reflect.TypeFor[T]()) }

// All returns k and the keys below it, each before those below it.
func (k *Key) All() iter.Seq[*Key] {
	return func(yield func(*Key) bool) { k.walk(yield) }
}

func (k *Key) walk(yield func(*Key) bool) bool {
	if !yield(k) || k.Elem != nil && !k.Elem.walk(yield) {
		return false
	}
	for _, c := range k.Keys {
		if !c.walk(yield) {
			return false
		}
	}
	return true
}

func (k *Key) key(name string) *Key {
	for _, c := range k.Keys {
		if c.Name == name {
			return c
		}
	}
	return nil
}

func schemaOf(t reflect.Type) *Key {
	if k, ok := schemas.Load(t); ok {
		return k.(*Key)
	}
	k := build(t, "", nil)
	schemas.Store(t, k)
	return k
}

// build makes the key of type t. defaults is what a default tag above says of it.
func build(t reflect.Type, path string, defaults any) *Key {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	k := &Key{Path: path, typ: t, Kind: kindOf(t)}
	k.Form = formOf(k)
	switch k.Kind {
	case Mapping:
		m, _ := defaults.(yaml.MapSlice)
		k.addFields(t, nil, m)
	case List:
		k.Elem = build(t.Elem(), path+"[]", nil)
	case Names:
		k.Elem = build(t.Elem(), join(path, "<name>"), nil)
	}
	return k
}

// addFields adds the fields of t, those of inlined structs as its own.
func (k *Key) addFields(t reflect.Type, at []int, defaults yaml.MapSlice) {
	for i := 0; i < t.NumField(); i++ {
		f := t.Field(i)
		name, inline, skip := keyOf(f)
		index := append(slices.Clone(at), i)
		switch {
		case skip:
		case inline && f.Type.Kind() == reflect.Struct:
			k.addFields(f.Type, index, defaults)
		case inline:
			panic(fmt.Sprintf("conf: %s.%s: only structs can be inlined", t, f.Name))
		default:
			k.Keys = append(k.Keys, fieldKey(f, name, join(k.Path, name), index, defaults))
		}
	}
}

func fieldKey(f reflect.StructField, name, path string, index []int, above yaml.MapSlice) *Key {
	var defaults any
	text := f.Tag.Get("default")
	for _, item := range above {
		if item.Key == name {
			text, defaults = fmt.Sprint(item.Value), item.Value
		}
	}
	if kindOf(f.Type) == Mapping && defaults == nil && text != "" {
		var m yaml.MapSlice
		if err := decode([]byte(text), &m); err != nil {
			panic(fmt.Sprintf("conf: default of %s: %v", path, err))
		}
		defaults = m
	}
	k := build(f.Type, path, defaults)
	k.Name, k.index = name, index
	k.Derived, k.Legacy, k.zero = f.Tag.Get("derived"), f.Tag.Get("legacy"), f.Tag.Get("zero") == "default"
	if k.zero {
		for c := range k.All() {
			c.zero = true
		}
	}
	if k.Kind != Mapping && text != "" && text != "-" {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil && k.Kind == Duration { // nanoseconds, as JSON has them
			text = showDuration(time.Duration(n))
		}
		k.Default = text
		if err := setText(reflect.New(k.typ).Elem(), text); err != nil {
			panic(fmt.Sprintf("conf: default of %s: %v", path, err))
		}
	}
	if tag := f.Tag.Get("validate"); tag != "-" {
		for _, rule := range splitRules(tag) {
			if err := k.addRule(rule); err != nil {
				panic(fmt.Sprintf("conf: rule %q of %s: %v", rule, path, err))
			}
		}
	}
	return k
}

func kindOf(t reflect.Type) Kind {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == durationType:
		return Duration
	case t == sizeType:
		return Bytes
	case t == secretType:
		return Hidden
	case t.Implements(unmarshaler) || reflect.PointerTo(t).Implements(unmarshaler):
		return Special
	}
	switch t.Kind() {
	case reflect.Struct:
		return Mapping
	case reflect.Map:
		return Names
	case reflect.Slice, reflect.Array:
		return List
	case reflect.String:
		return Text
	case reflect.Bool:
		return Flag
	case reflect.Float32, reflect.Float64:
		return Number
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return Integer
	}
	return Any
}

func formOf(k *Key) string {
	switch k.Kind {
	case Mapping, Names:
		return "a mapping"
	case Duration:
		return "a duration such as 30s"
	case Bytes:
		return "a size such as 32k"
	case Hidden:
		return "a text, {file: <path>}, {env: <NAME>} or {credential: <name>}"
	case Flag, Any:
		return string(k.Kind)
	case Special:
		if f, ok := reflect.New(k.typ).Interface().(Former); ok {
			return f.Form()
		}
	}
	return "a " + string(k.Kind)
}

// keyOf applies the naming rules of yaml.v2.
func keyOf(f reflect.StructField) (name string, inline, skip bool) {
	tag := f.Tag.Get("yaml")
	if tag == "-" || !f.IsExported() && !f.Anonymous {
		return "", false, true
	}
	parts := strings.Split(tag, ",")
	if slices.Contains(parts[1:], "inline") {
		return "", true, false
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
