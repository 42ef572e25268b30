package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// leafPrefix begins the names of leaves. A service that is no root makes no groups.
const leafPrefix = "exec."

// Leaf makes a group in g, for processes that are no part of the instance and have its limits, in common with it. What
// is in it counts for g: for its numbers, and for Populated.
func (t *Tree) Leaf(g *Group, name string) (*Group, error) {
	out := &Group{Service: g.Service, Instance: g.Instance, write: g.write}
	for _, d := range g.dirs {
		l := dir{filepath.Join(d.path, leafPrefix+escape(name)), d.v2, d.controllers}
		err := os.Mkdir(l.path, 0o755)
		if err == nil {
			out.dirs = append(out.dirs, l)
			err = t.inherit(l)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("make cgroup in that of %s: %w", g.Instance, err), out.Remove())
		}
	}
	return out, nil
}

// Leaves are those of g.
func (g *Group) Leaves() (out []*Group) {
	byName := map[string]*Group{}
	for _, d := range g.dirs {
		entries, _ := os.ReadDir(d.path) // it may be gone by now
		for _, e := range entries {
			if !e.IsDir() || !strings.HasPrefix(e.Name(), leafPrefix) {
				continue
			}
			l := byName[e.Name()]
			if l == nil {
				l = &Group{Service: g.Service, Instance: g.Instance, write: g.write}
				byName[e.Name()] = l
				out = append(out, l)
			}
			l.dirs = append(l.dirs, dir{filepath.Join(d.path, e.Name()), d.v2, d.controllers})
		}
	}
	return out
}

// Paths are the folders of the group.
func (g *Group) Paths() (out []string) {
	for _, d := range g.dirs {
		out = append(out, d.path)
	}
	return out
}
