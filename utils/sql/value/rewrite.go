package value

import (
	"slices"
	"strings"
	"sync"
)

// A writer writes a text of JSON, which was checked, as Append would write its value, without making it.
type writer struct {
	decoder
	b       []byte
	members []written // of the objects that are not at their end, one after the other
	order   []byte    // members in their order
}

// written is a member that stands in b.
type written struct {
	key      string
	from, to int
}

// writers are kept: what they have room for is as long as one message.
var writers = sync.Pool{New: func() any { return new(writer) }}

func (w *writer) value() {
	w.space()
	switch c := w.s[w.i]; c {
	case '{':
		w.object()
	case '[':
		w.array()
	case '"':
		w.text()
	default:
		begin := w.i
		_, _ = w.skip()
		w.b = append(w.b, w.s[begin:w.i]...)
	}
}

// text writes a string and returns it.
func (w *writer) text() string {
	begin := w.i
	if plain, _ := w.skipString(); plain {
		w.b = append(w.b, w.s[begin:w.i]...)
		return w.s[begin+1 : w.i-1]
	}
	s, _ := unescape(w.s[begin+1 : w.i-1])
	w.b = appendString(w.b, s)
	return s
}

func (w *writer) array() {
	w.i++
	w.b = append(w.b, '[')
	for first := true; !w.take(']'); first = false {
		if !first {
			w.take(',')
			w.b = append(w.b, ',')
		}
		w.value()
	}
	w.b = append(w.b, ']')
}

func (w *writer) object() {
	w.i++
	w.b = append(w.b, '{')
	begin, base, rising := len(w.b), len(w.members), true
	for !w.take('}') {
		if len(w.members) > base {
			w.take(',')
			w.space()
			w.b = append(w.b, ',')
		}
		from := len(w.b)
		key := w.text()
		w.take(':')
		w.b = append(w.b, ':')
		w.value()
		rising = rising && (len(w.members) == base || w.members[len(w.members)-1].key < key)
		w.members = append(w.members, written{key, from, len(w.b)})
	}
	if members := w.members[base:]; !rising {
		slices.SortStableFunc(members, func(a, b written) int { return strings.Compare(a.key, b.key) })
		w.order = w.order[:0]
		for i, m := range members {
			if i+1 < len(members) && members[i+1].key == m.key {
				continue // the last one counts
			}
			if len(w.order) > 0 {
				w.order = append(w.order, ',')
			}
			w.order = append(w.order, w.b[m.from:m.to]...)
		}
		w.b = append(w.b[:begin], w.order...)
	}
	clear(w.members[base:])
	w.members = w.members[:base]
	w.b = append(w.b, '}')
}
