// Package cgroup gives every native instance a control group of its own: its limits, what it uses, and the one list of
// processes that nothing leaves, whatever session or process group it makes for itself.
//
//	v2     <base>/baetyl.<id>/<service>@<instance>      base: the unit that systemd delegated to us, or the top
//	v1     the same in the hierarchies of cpu, cpuacct, memory, pids (and cpuset when cores are named), below the group
//	       of the keeper, so that limits around that hold too
//	both   controllers from v1, and v2 to count and kill ("hybrid")
//
// A group of v2 that gives controllers to its children may hold no processes. So in a delegated unit everything that
// runs there, keeper and master, moves into <base>/baetyl first.
//
// It promises that Kill leaves nothing of the group, and that a limit which the host cannot keep is named. It decides
// nothing, and starts nothing: who is born or moved into a group is the keeper's and launch's part.
package cgroup

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"syscall"

	"github.com/baetyl/baetyl/protocol/app"
)

// The controllers that limits and numbers come from.
const (
	cpu     = "cpu"
	cpuacct = "cpuacct" // v1: how much processor time was used
	cpuset  = "cpuset"
	memory  = "memory"
	pids    = "pids"
)

const leaf = "baetyl" // what keeper and master move into

// Tree is where the groups of one installation are. Its methods may be called from any goroutine.
type Tree struct {
	folder string // baetyl.<id>
	write  func(path, text string) error
	v2     *place  // nil: there is none
	v1     []place // one for each hierarchy

	mu       sync.Mutex // prepared, and the controllers of v2, which prepare corrects
	prepared bool
}

// place is a hierarchy, and where in it our folder is.
type place struct {
	mount       string
	base        string   // of our folder
	v2          bool     //
	controllers []string // that it limits with
	crowded     bool     // v2: base may hold processes, which have to move before it gives controllers away
}

// dir is the part of a group that is in one hierarchy.
type dir struct {
	path        string
	v2          bool
	controllers []string
}

// Group is the group of one instance.
type Group struct {
	Service, Instance string

	write func(path, text string) error
	dirs  []dir
}

// ID names an installation in groups: by its folder as the kernel knows it, so that a copy is never taken for it.
func ID(workdir string) (string, error) {
	info, err := os.Stat(workdir)
	if err != nil {
		return "", fmt.Errorf("identify working directory: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", fmt.Errorf("identify working directory %s: this system does not number folders", workdir)
	}
	s := sha256.Sum256(fmt.Appendf(nil, "%d:%d", st.Dev, st.Ino))
	return hex.EncodeToString(s[:6]), nil
}

// Make makes the group of an instance, with its limits. Warnings name what was asked and does not hold. A group that an
// earlier instance left must have ended.
func (t *Tree) Make(service, instance string, r app.Resources) (*Group, []string, error) {
	if err := t.prepare(); err != nil {
		return nil, nil, fmt.Errorf("make cgroup of %s: %w", instance, err)
	}
	g := &Group{Service: service, Instance: instance, write: t.write}
	for _, p := range t.places() {
		if !p.v2 && p.only(cpuset) && r.CPU.SetCPUs == "" {
			continue // a hierarchy less to join
		}
		d := dir{filepath.Join(p.base, t.folder, nameOf(service, instance)), p.v2, p.controllers}
		err := makeEmpty(d, t.write)
		if err == nil {
			g.dirs = append(g.dirs, d)
			err = t.inherit(d)
		}
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("make cgroup of %s: %w", instance, err), g.Remove())
		}
	}
	return g, append(t.Problems(r), g.limit(t, r)...), nil
}

// makeEmpty makes d, in place of one without processes that may be there.
func makeEmpty(d dir, write func(path, text string) error) error {
	err := os.Mkdir(d.path, 0o755)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	old := Group{Instance: filepath.Base(d.path), write: write, dirs: []dir{d}}
	if old.Populated() {
		return fmt.Errorf("%w, with processes", err)
	}
	if err := old.Remove(); err != nil {
		return err
	}
	return os.Mkdir(d.path, 0o755)
}

// Open returns the group of an instance that an earlier master made; fs.ErrNotExist when there is none.
func (t *Tree) Open(service, instance string) (*Group, error) {
	g := &Group{Service: service, Instance: instance, write: t.write}
	for _, p := range t.places() {
		path := filepath.Join(p.base, t.folder, nameOf(service, instance))
		if _, err := os.Stat(path); err == nil {
			g.dirs = append(g.dirs, dir{path: path, v2: p.v2, controllers: p.controllers})
		}
	}
	if len(g.dirs) == 0 {
		return nil, fmt.Errorf("open cgroup of %s: %w", instance, fs.ErrNotExist)
	}
	return g, nil
}

// Left returns all groups of this installation that there are, also those of a master that ran elsewhere (in another
// unit, or in a shell), in the order of their names.
func (t *Tree) Left() []*Group {
	groups := map[string]*Group{}
	for _, p := range t.places() {
		for _, folder := range find(p.mount, t.folder, searchDepth) {
			entries, _ := os.ReadDir(folder) // it may be gone by now
			for _, e := range entries {
				service, instance, ok := parseName(e.Name())
				if !ok || !e.IsDir() {
					continue
				}
				g := groups[e.Name()]
				if g == nil {
					g = &Group{Service: service, Instance: instance, write: t.write}
					groups[e.Name()] = g
				}
				g.dirs = append(g.dirs, dir{filepath.Join(folder, e.Name()), p.v2, p.controllers})
			}
		}
	}
	out := make([]*Group, 0, len(groups))
	for _, g := range groups {
		out = append(out, g)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Instance < out[j].Instance })
	return out
}

// searchDepth is how deep in a hierarchy our folder may be: user.slice/user-0.slice/session-1.scope and the like, also
// in a container of a container.
const searchDepth = 8

// find returns the folders called name below root.
func find(root, name string, depth int) (out []string) {
	entries, _ := os.ReadDir(root) // groups come and go
	for _, e := range entries {
		switch path := filepath.Join(root, e.Name()); {
		case !e.IsDir():
		case e.Name() == name:
			out = append(out, path)
		case depth > 1:
			out = append(out, find(path, name, depth-1)...)
		}
	}
	return out
}

// Close removes our folder, which holds no group any more.
func (t *Tree) Close() error {
	var err error
	for _, p := range t.places() {
		if e := os.Remove(filepath.Join(p.base, t.folder)); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

func (t *Tree) places() []place {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all()
}

// all is places for who holds mu.
func (t *Tree) all() []place {
	if t.v2 == nil {
		return t.v1
	}
	return append([]place{*t.v2}, t.v1...)
}

func (p place) only(controller string) bool {
	return len(p.controllers) == 1 && p.controllers[0] == controller
}

// V2 is the folder that a process is born in; empty: there is none.
func (g *Group) V2() string {
	for _, d := range g.dirs {
		if d.v2 {
			return d.path
		}
	}
	return ""
}

// V1 are the folders whose cgroup.procs a process has to write itself into.
func (g *Group) V1() (out []string) {
	for _, d := range g.dirs {
		if !d.v2 {
			out = append(out, d.path)
		}
	}
	return out
}

// with returns the folder where controller is.
func (g *Group) with(controller string) (dir, bool) {
	for _, d := range g.dirs {
		if slices.Contains(d.controllers, controller) {
			return d, true
		}
	}
	return dir{}, false
}

// nameOf is the folder of an instance. Names of services are letters, digits, '_' and '-'; those of instances come from
// other services, and are escaped.
func nameOf(service, instance string) string { return escape(service) + "@" + escape(instance) }

func escape(name string) string {
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	return b.String()
}

// parseName reads what nameOf writes, and nothing else.
func parseName(text string) (service, instance string, ok bool) {
	a, b, ok := strings.Cut(text, "@")
	if !ok {
		return "", "", false
	}
	service, instance = unescape(a), unescape(b)
	return service, instance, nameOf(service, instance) == text
}

func unescape(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		code, err := hex.DecodeString(text[min(i+1, len(text)):min(i+3, len(text))])
		if text[i] != '%' || err != nil || len(code) != 1 {
			b.WriteByte(text[i])
			continue
		}
		b.WriteByte(code[0])
		i += 2
	}
	return b.String()
}
