package faultfs

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// node is a file, a folder or a link, wherever it is, with what a power cut leaves of it.
type node struct {
	mode fs.FileMode
	data []byte // durable content of a file, target of a link

	dirty bool // a file has been changed since the last sync

	// of a folder; by name
	live    map[string]*node
	durable map[string]*node
}

// adopt returns what is at path on the real disk as durable; nil if there is nothing that the model knows.
func adopt(path string) *node {
	info, err := os.Lstat(path)
	if err != nil {
		return nil
	}
	n := &node{mode: info.Mode()}
	switch {
	case info.IsDir():
		n.live, n.durable = map[string]*node{}, map[string]*node{}
		entries, _ := os.ReadDir(path)
		for _, e := range entries {
			if c := adopt(filepath.Join(path, e.Name())); c != nil {
				n.live[e.Name()], n.durable[e.Name()] = c, c
			}
		}
	case info.Mode().IsRegular():
		n.data, _ = os.ReadFile(path)
	case info.Mode().Type() == fs.ModeSymlink:
		target, _ := os.Readlink(path)
		n.data = []byte(target)
	default:
		return nil
	}
	return n
}

// child returns what is called name in the folder n, whose path is dir. What came past the FS is durable.
func (n *node) child(dir, name string) *node {
	c := n.live[name]
	if c == nil {
		if c = adopt(filepath.Join(dir, name)); c != nil {
			n.live[name], n.durable[name] = c, c
		}
	}
	return c
}

// Change is a change of one folder, or of two by a rename, that is not durable. F is what stands for a folder.
type Change[F comparable] struct {
	In    []F
	Apply func() // makes it durable
}

// Commit makes the changes of a folder durable, and of other folders what came before and belongs together. It returns
// those that are not durable yet. internal/sim has the same model of names.
func Commit[F comparable](pending []Change[F], dir F) (left []Change[F]) {
	reached := []F{dir}
	with := make([]bool, len(pending))
	for i := len(pending) - 1; i >= 0; i-- {
		if slices.ContainsFunc(pending[i].In, func(n F) bool { return slices.Contains(reached, n) }) {
			with[i] = true
			reached = append(reached, pending[i].In...)
		}
	}
	for i, c := range pending {
		if with[i] {
			c.Apply()
		} else {
			left = append(left, c)
		}
	}
	return left
}

// restore makes the real folder what a power cut of kind k leaves of it.
func (n *node) restore(dir string, pending []Change[*node], k Kind) error {
	if k == CutData || k == CutTorn {
		for _, c := range pending {
			c.Apply()
		}
	}
	left := map[*node][]byte{} // what is in changed files, which are going to be written anew
	n.walk(dir, func(path string, below *node) {
		if below.dirty {
			left[below] = below.left(path, k)
		}
	})
	if err := n.drop(dir); err != nil {
		return err
	}
	return n.put(dir, true, left)
}

// left is what a power cut leaves of a file with changes that were not synced.
func (n *node) left(path string, k Kind) []byte {
	now, err := os.ReadFile(path)
	if err != nil || k == Cut || k == CutData {
		return n.data
	}
	if k == CutTorn {
		for i := len(now) / 2; i < len(now); i++ {
			if i >= len(n.data) || now[i] != n.data[i] { // what was synced and is not written again stays
				now[i] = 0
			}
		}
	}
	return now
}

func (n *node) walk(path string, f func(string, *node)) {
	f(path, n)
	for name, c := range n.live {
		c.walk(filepath.Join(path, name), f)
	}
}

// drop removes from the real folder dir, which stays, what is not to stay as it is.
func (n *node) drop(dir string) error {
	for name, c := range n.live {
		path, to := filepath.Join(dir, name), n.durable[name]
		switch {
		case to == c && c.mode.IsDir():
			if err := c.drop(path); err != nil {
				return err
			}
		case to == c && !c.dirty:
		default:
			if err := os.RemoveAll(path); err != nil {
				return err
			}
			delete(n.live, name)
		}
	}
	return nil
}

// put creates in the real folder dir what is durable and not there. old tells that dir was there before the power cut.
func (n *node) put(dir string, old bool, left map[*node][]byte) error {
	for name, c := range n.durable {
		path := filepath.Join(dir, name)
		there := old && n.live[name] == c
		switch {
		case c.mode.IsDir():
			if !there {
				if err := os.Mkdir(path, c.mode.Perm()|0o700); err != nil {
					return err
				}
			}
			if err := c.put(path, there, left); err != nil {
				return err
			}
		case there:
		case c.mode.IsRegular():
			data, ok := left[c]
			if !ok {
				data = c.data
			}
			if err := os.WriteFile(path, data, c.mode.Perm()); err != nil {
				return err
			}
		default:
			if err := os.Symlink(string(c.data), path); err != nil {
				return err
			}
		}
	}
	return nil
}
