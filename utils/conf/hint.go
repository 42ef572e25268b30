package conf

import (
	"fmt"
	"slices"
	"strings"
)

// maxKnown and maxPlaces keep a hint short enough to be read.
const (
	maxKnown  = 20
	maxPlaces = 3
)

// unknown says what the writer of a key that place does not have may have meant: a near name in the same place, or the
// same name in another place.
func (c checker) unknown(name string, place *Key) error {
	known := place.names()
	if place == c.root {
		known = append(known, c.allowed...)
	}
	if best := Near(name, known); best != "" {
		return fmt.Errorf("unknown key; did you mean %q?", best)
	}
	if places := c.places(name, place); len(places) > 0 {
		return fmt.Errorf("unknown key here; it belongs at %s", strings.Join(places, " or "))
	}
	if len(known) > maxKnown {
		known = append(known[:maxKnown:maxKnown], "…")
	}
	return fmt.Errorf("unknown key; known here: %s", strings.Join(known, ", "))
}

// Near returns the one of known that whoever wrote name may have meant, empty when none is near.
func Near(name string, known []string) string {
	best, least := "", 3
	for _, n := range known {
		if d := distance(strings.ToLower(name), strings.ToLower(n)); d < least && d < len(n) {
			best, least = n, d
		}
	}
	return best
}

func (k *Key) names() (out []string) {
	for _, c := range k.Keys {
		if c.Legacy == "" {
			out = append(out, c.Name)
		}
	}
	return out
}

// places returns where name is a key: below place, or else below the nearest key above place that has it, those that
// are the least deep first. Where several are as near, it returns them all, in the order of the schema, unless they are
// too many to help.
func (c checker) places(name string, place *Key) []string {
	for _, from := range c.root.chain(place) {
		type found struct {
			path  string
			depth int
		}
		var all []found
		from.search(name, 0, func(path string, depth int) { all = append(all, found{path, depth}) })
		if len(all) == 0 {
			continue
		}
		nearest := slices.MinFunc(all, func(a, b found) int { return a.depth - b.depth }).depth
		var out []string
		for _, f := range all {
			if f.depth == nearest {
				out = append(out, f.path)
			}
		}
		return out[:min(len(out), maxPlaces)]
	}
	return nil
}

// search reports each key of that name below k.
func (k *Key) search(name string, depth int, report func(path string, depth int)) {
	for _, c := range k.Keys {
		if c.Legacy != "" {
			continue
		}
		if c.Name == name {
			report(c.Path, depth)
		}
		c.search(name, depth+1, report)
	}
	if k.Elem != nil {
		k.Elem.search(name, depth, report)
	}
}

// chain returns to and the keys above it, up to k.
func (k *Key) chain(to *Key) []*Key {
	if k == to {
		return []*Key{k}
	}
	for _, c := range append(slices.Clone(k.Keys), k.Elem) {
		if c == nil {
			continue
		}
		if below := c.chain(to); below != nil {
			return append(below, k)
		}
	}
	return nil
}

// distance is the number of edits between two short words (Levenshtein).
func distance(a, b string) int {
	edits := make([]int, len(b)+1)
	for j := range edits {
		edits[j] = j
	}
	for i := 1; i <= len(a); i++ {
		prev := edits[0]
		edits[0] = i
		for j := 1; j <= len(b); j++ {
			cost := prev
			if a[i-1] != b[j-1] {
				cost++
			}
			prev = edits[j]
			edits[j] = min(cost, edits[j]+1, edits[j-1]+1)
		}
	}
	return edits[len(b)]
}
