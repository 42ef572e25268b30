package value

import (
	"slices"
	"strings"
)

// Object has its members sorted by key, each key once.
type Object []Member

// Member is a field of an object: a value, or the text of one.
type Member struct {
	Key   string
	text  string // empty: there is only the value
	plain bool   // text is as Append writes it
	value any    // nil: not made of the text yet
}

// Value returns the value. It makes it of the text the first time.
func (m *Member) Value() any {
	if m.value == nil && m.text != "" {
		d := decoder{s: m.text}
		m.value, _ = d.value() // the text was checked
	}
	return m.value
}

func byKey(m Member, key string) int { return strings.Compare(m.Key, key) }

// Get returns the value of key, nil if there is none.
func (o Object) Get(key string) any {
	i, end := 0, len(o)
	for end-i > 8 { // few keys are sooner compared than ordered
		if middle := (i + end) / 2; o[middle].Key <= key {
			i = middle
		} else {
			end = middle
		}
	}
	for ; i < end; i++ {
		if o[i].Key == key {
			return o[i].Value()
		}
	}
	return nil
}

// Set gives key a value.
func (o *Object) Set(key string, v any) { o.Put(Member{Key: key, value: v}) }

// Put adds a member, in place of one with the same key where there is one.
func (o *Object) Put(m Member) {
	i, ok := slices.BinarySearchFunc(*o, m.Key, byKey)
	if ok {
		(*o)[i] = m
		return
	}
	*o = slices.Insert(*o, i, m)
}

// sorted sorts members, which are in the order of the message, by key.
func (o Object) sorted() Object {
	rising := true
	for i := 1; i < len(o) && rising; i++ {
		rising = o[i-1].Key < o[i].Key
	}
	if rising {
		return o
	}
	slices.SortStableFunc(o, func(a, b Member) int { return strings.Compare(a.Key, b.Key) })
	out := o[:1]
	for _, m := range o[1:] {
		if last := &out[len(out)-1]; last.Key == m.Key {
			*last = m
		} else {
			out = append(out, m)
		}
	}
	return out
}
