package conf

import (
	"encoding"
	"fmt"
	"reflect"

	"gopkg.in/yaml.v2"
)

// fill gives the absent keys below v their defaults. node is what the file has in the place of k.
func (k *Key) fill(node any, v reflect.Value) {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return
		}
		v = v.Elem()
	}
	switch k.Kind {
	case Mapping:
		m, _ := node.(yaml.MapSlice)
		for _, c := range k.Keys {
			c.fillField(value(m, c.Name), v.FieldByIndex(c.index))
		}
	case List:
		list, _ := node.([]any)
		for i := 0; i < v.Len() && i < len(list); i++ {
			k.Elem.fill(list[i], v.Index(i))
		}
	case Names:
		m, _ := node.(yaml.MapSlice)
		for _, name := range v.MapKeys() {
			if k.Elem.Kind != Mapping || v.MapIndex(name).Kind() != reflect.Struct {
				return
			}
			e := reflect.New(v.Type().Elem()).Elem() // an element of a map can't be changed in its place
			e.Set(v.MapIndex(name))
			k.Elem.fill(value(m, fmt.Sprint(name.Interface())), e)
			v.SetMapIndex(name, e)
		}
	}
}

func (k *Key) fillField(node any, v reflect.Value) {
	absent := node == nil && v.IsZero() || k.zero && v.IsZero()
	switch {
	case !absent || k.Kind == Mapping:
		k.fill(node, v)
	case k.standard.IsValid():
		for v.Kind() == reflect.Pointer {
			v.Set(reflect.New(v.Type().Elem()))
			v = v.Elem()
		}
		// A copy, since the value may hold a list or a map.
		if err := setText(v, k.Default); err != nil {
			panic("conf: " + err.Error()) // it was read once when the schema was made
		}
	}
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
