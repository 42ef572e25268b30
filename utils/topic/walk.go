package topic

import (
	"slices"
	"strings"
)

// Walk is a Select that can be interrupted: the tree may change between two steps. It finds all entries that are there
// from its beginning to its end; others it may find.
type Walk[V any] struct{ left []step[V] }

// step is a node that is still to be visited.
type step[V any] struct {
	n     *node[V]
	rest  string // levels of the filter below n
	kind  kind
	first bool // n is the root
}

type kind byte

const (
	below kind = iota // what rest selects below n, and n itself if rest is #, but for the root
	leaf              // n alone
	whole             // n and all below it
)

// Walk begins to select the names that filter matches.
func (t *Tree[V]) Walk(filter string) *Walk[V] {
	return &Walk[V]{left: []step[V]{{n: &t.root, rest: filter, first: true}}}
}

// Next does one step. v is nil if it has found nothing; ok is false at the end.
func (w *Walk[V]) Next() (v *V, ok bool) {
	last := len(w.left) - 1
	if last < 0 {
		return nil, false
	}
	s := w.left[last]
	w.left[last] = step[V]{}
	w.left = w.left[:last]
	switch {
	case s.kind == leaf:
		return s.n.value, true
	case s.kind == whole:
		for _, name := range s.n.names() {
			w.left = append(w.left, step[V]{n: s.n.children[name], kind: whole})
		}
		return s.n.value, true
	case s.rest == "#" && !s.first:
		v = s.n.value // a/# matches a
	}
	level, rest, more := strings.Cut(s.rest, "/")
	next := func(c *node[V]) {
		switch {
		case level == "#":
			w.left = append(w.left, step[V]{n: c, kind: whole})
		case more:
			w.left = append(w.left, step[V]{n: c, rest: rest, kind: below})
		default:
			w.left = append(w.left, step[V]{n: c, kind: leaf})
		}
	}
	if level != "#" && level != "+" {
		if c := s.n.children[level]; c != nil {
			next(c)
		}
		return v, true
	}
	for _, name := range s.n.names() {
		if !s.first || !strings.HasPrefix(name, "$") { // [MQTT-4.7.2-1]
			next(s.n.children[name])
		}
	}
	return v, true
}

// sorted is the largest number of children that a walk puts in order, so that few topics come in the same order each
// time, and many cost no time.
const sorted = 256

func (n *node[V]) names() []string {
	list := make([]string, 0, len(n.children))
	for name := range n.children {
		list = append(list, name)
	}
	if len(list) <= sorted {
		slices.Sort(list)
		slices.Reverse(list) // the last one is visited first
	}
	return list
}
