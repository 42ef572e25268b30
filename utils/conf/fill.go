package conf

import (
	"encoding"
	"fmt"
	"reflect"

	"github.com/creasty/defaults"
	"gopkg.in/yaml.v2"
)

// fill gives the absent keys below v their defaults. node is what the file has in the place of k, standard what an
// empty file gives there.
func (k *Key) fill(node any, v, standard reflect.Value) {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return
		}
		v, standard = v.Elem(), reflect.Value{}
	}
	if !standard.IsValid() { // below a pointer or in a list, where an empty file has nothing
		standard = standardOf(k.typ)
	}
	switch k.Kind {
	case Mapping:
		m, _ := node.(yaml.MapSlice)
		for _, c := range k.Keys {
			c.fillField(value(m, c.Name), v.FieldByIndex(c.index), standard.FieldByIndex(c.index))
		}
	case List:
		list, _ := node.([]any)
		for i := 0; i < v.Len() && i < len(list); i++ {
			k.Elem.fill(list[i], v.Index(i), reflect.Value{})
		}
	case Names:
		m, _ := node.(yaml.MapSlice)
		for _, name := range v.MapKeys() {
			if k.Elem.Kind != Mapping || v.MapIndex(name).Kind() != reflect.Struct {
				return
			}
			e := reflect.New(v.Type().Elem()).Elem() // an element of a map can't be changed in its place
			e.Set(v.MapIndex(name))
			k.Elem.fill(value(m, fmt.Sprint(name.Interface())), e, standardOf(k.Elem.typ))
			v.SetMapIndex(name, e)
		}
	}
}

func (k *Key) fillField(node any, v, standard reflect.Value) {
	absent := node == nil && v.IsZero() || k.zero && v.IsZero()
	switch {
	case !absent || k.Kind == Mapping:
		k.fill(node, v, standard)
	case k.Default != "":
		v.Set(standard)
	}
}

// standardOf makes what the tags of t give to an empty file. Each call makes a new one, since it may hold lists.
func standardOf(t reflect.Type) reflect.Value {
	v := reflect.New(t)
	if v.Elem().Kind() == reflect.Struct {
		defaults.MustSet(v.Interface()) // wrong tags are a mistake of the program, which building the schema finds
	}
	return v.Elem()
}

// value returns what m has under a name, nil if nothing.
func value(m yaml.MapSlice, name string) any {
	for _, item := range m {
		if fmt.Sprint(item.Key) == name {
			return item.Value
		}
	}
	return nil
}

// setText sets v to what text means in a file.
func setText(v reflect.Value, text string) error {
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text))
	}
	if v.Kind() == reflect.String {
		v.SetString(text)
		return nil
	}
	return decode([]byte(text), v.Addr().Interface())
}
