package topic

import "strings"

// Tree maps topics to values. With filters as keys, Match finds the filters that match a name. With names as keys,
// Select finds the names that a filter matches. It has no lock. The time of a lookup depends on the levels of the topic
// and on wildcards, not on the number of entries. Branches without values are removed.
type Tree[V any] struct {
	root node[V]
	len  int
}

type node[V any] struct {
	children map[string]*node[V]
	value    *V
}

// Len returns the number of entries.
func (t *Tree[V]) Len() int { return t.len }

// Get returns the value at key, nil if there is none.
func (t *Tree[V]) Get(key string) *V {
	n := &t.root
	for more := true; more; {
		var level string
		level, key, more = strings.Cut(key, "/")
		if n = n.children[level]; n == nil {
			return nil
		}
	}
	return n.value
}

// Put returns the value at key. If there is none, it adds a zero value.
func (t *Tree[V]) Put(key string) *V {
	n := &t.root
	for more := true; more; {
		var level string
		level, key, more = strings.Cut(key, "/")
		next := n.children[level]
		if next == nil {
			next = &node[V]{}
			if n.children == nil {
				n.children = map[string]*node[V]{}
			}
			// Cloned: level is a part of the key, often of a packet, and would keep all of it in memory.
			n.children[strings.Clone(level)] = next
		}
		n = next
	}
	if n.value == nil {
		n.value = new(V)
		t.len++
	}
	return n.value
}

// Delete removes the entry at key, and branches that are empty then.
func (t *Tree[V]) Delete(key string) { t.remove(&t.root, key) }

func (t *Tree[V]) remove(n *node[V], key string) {
	level, rest, more := strings.Cut(key, "/")
	child := n.children[level]
	if child == nil {
		return
	}
	if more {
		t.remove(child, rest)
	} else if child.value != nil {
		child.value = nil
		t.len--
	}
	if child.value == nil && len(child.children) == 0 {
		delete(n.children, level)
	}
}

// Match calls fn for the value of each filter in the tree that matches name.
func (t *Tree[V]) Match(name string, fn func(*V)) { matchName(&t.root, name, true, fn) }

func matchName[V any](n *node[V], name string, first bool, fn func(*V)) {
	level, rest, more := strings.Cut(name, "/")
	wild := !first || !strings.HasPrefix(level, "$") // [MQTT-4.7.2-1]
	if wild {
		if h := n.children["#"]; h != nil && h.value != nil {
			fn(h.value)
		}
	}
	if c := n.children[level]; c != nil {
		matchNext(c, rest, more, fn)
	}
	if wild {
		if c := n.children["+"]; c != nil {
			matchNext(c, rest, more, fn)
		}
	}
}

func matchNext[V any](n *node[V], rest string, more bool, fn func(*V)) {
	if more {
		matchName(n, rest, false, fn)
		return
	}
	if n.value != nil {
		fn(n.value)
	}
	if h := n.children["#"]; h != nil && h.value != nil { // a/# matches a
		fn(h.value)
	}
}

// Select calls fn for the value of each name in the tree that filter matches, until fn returns false.
func (t *Tree[V]) Select(filter string, fn func(*V) bool) { selectFilter(&t.root, filter, true, fn) }

func selectFilter[V any](n *node[V], filter string, first bool, fn func(*V) bool) bool {
	level, rest, more := strings.Cut(filter, "/")
	if level != "#" && level != "+" {
		c := n.children[level]
		return c == nil || selectNext(c, rest, more, fn)
	}
	for name, c := range n.children {
		if first && strings.HasPrefix(name, "$") {
			continue
		}
		if level == "#" {
			if !all(c, fn) {
				return false
			}
		} else if !selectNext(c, rest, more, fn) {
			return false
		}
	}
	return true
}

func selectNext[V any](n *node[V], rest string, more bool, fn func(*V) bool) bool {
	if !more || rest == "#" {
		if n.value != nil && !fn(n.value) {
			return false
		}
	}
	return !more || selectFilter(n, rest, false, fn)
}

// All calls fn for each value in the tree until fn returns false. fn may change the tree, or let others change it: then
// all entries are found that are there from the beginning to the end.
func (t *Tree[V]) All(fn func(*V) bool) { all(&t.root, fn) }

func all[V any](n *node[V], fn func(*V) bool) bool {
	if n.value != nil && !fn(n.value) {
		return false
	}
	for _, c := range n.children {
		if !all(c, fn) {
			return false
		}
	}
	return true
}
