package core

import (
	"cmp"
	"slices"
	"strings"
)

// Query selects the entries of a list.
type Query struct {
	Limit               int    // entries, at most
	After               Key    // the entries behind it; the zero value: from the beginning
	User, Client, Topic string // prefixes
}

// Key is the place of an entry in its list: first by client, then by topic or filter. What a list does not have is "".
type Key struct{ Client, Topic string }

// Compare orders keys.
func (k Key) Compare(other Key) int {
	return cmp.Or(strings.Compare(k.Client, other.Client), strings.Compare(k.Topic, other.Topic))
}

const (
	// walkSteps is how many entries a list looks at until others have their turn.
	walkSteps = 256
	// pageBytes is how many bytes of names a page has, about: names may be long.
	pageBytes = 1 << 20
)

// turns counts steps of a list. In pause other events may happen.
type turns struct {
	pause func()
	n     int
}

func (t *turns) step() {
	if t.n++; t.n%walkSteps == 0 {
		t.pause()
	}
}

// entryOf is an entry of a list.
type entryOf[T any] struct {
	key Key
	x   T
}

// page collects the entries with the smallest keys behind that of a query.
type page[T any] struct {
	q     Query
	list  []entryOf[T]
	bound *Key // entries from here on do not count: enough are before it
}

// wants tells whether an entry counts so far.
func (p *page[T]) wants(k Key) bool {
	return k.Compare(p.q.After) > 0 && (p.bound == nil || k.Compare(*p.bound) < 0)
}

func (p *page[T]) add(k Key, x T) {
	if p.list = append(p.list, entryOf[T]{k, x}); len(p.list) > 2*p.q.Limit {
		p.cut()
	}
}

// cut keeps the entries of the page, and one to know that it is not the last page.
func (p *page[T]) cut() {
	slices.SortFunc(p.list, func(a, b entryOf[T]) int { return a.key.Compare(b.key) })
	p.list = slices.CompactFunc(p.list, func(a, b entryOf[T]) bool { return a.key == b.key })
	if len(p.list) > p.q.Limit {
		clear(p.list[p.q.Limit+1:])
		p.list = p.list[:p.q.Limit+1]
		p.bound = &Key{p.list[p.q.Limit].key.Client, p.list[p.q.Limit].key.Topic}
	}
}

// end returns the entries, and the key of the last one; the zero value: no other page follows.
func (p *page[T]) end() (list []entryOf[T], next Key) {
	p.cut()
	size := 0
	for i, x := range p.list {
		if size += len(x.key.Client) + len(x.key.Topic); i > 0 && (size > pageBytes || i == p.q.Limit) {
			return p.list[:i], p.list[i-1].key
		}
	}
	return p.list, Key{}
}
