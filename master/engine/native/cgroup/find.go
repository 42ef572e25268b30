package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Host is where Find looks. The zero value is this host.
type Host struct {
	Proc  string                        // empty: /proc
	Write func(path, text string) error // nil: into the file, which has to exist
}

// Find returns where groups of the installation id can be made. It looks, and changes nothing. An error says why this
// host, or this user, has no groups; then nothing is limited, and only process groups can be killed.
func Find(id string) (*Tree, error) { return Host{}.Find(id) }

// Find is Find on h.
func (h Host) Find(id string) (*Tree, error) {
	if h.Proc == "" {
		h.Proc = "/proc"
	}
	if h.Write == nil {
		h.Write = writeFile
	}
	mounts, err := os.ReadFile(filepath.Join(h.Proc, "self/mountinfo"))
	if err != nil {
		return nil, fmt.Errorf("find cgroups: %w", err)
	}
	own, err := os.ReadFile(filepath.Join(h.Proc, "self/cgroup"))
	if err != nil {
		return nil, fmt.Errorf("find cgroups: %w", err)
	}
	t := &Tree{folder: "baetyl." + id, write: h.Write}
	paths := parseOwn(string(own))
	var why error
	for _, m := range parseMounts(string(mounts)) {
		var p place
		var err error
		if m.v2 {
			p, err = unified(m, paths[""])
		} else {
			p, err = hierarchy(m, paths)
		}
		switch {
		case err != nil:
			if why == nil { // a host with v1 has ten hierarchies, and says the same of each
				why = err
			}
		case m.v2 && t.v2 == nil:
			t.v2 = &p
		case !m.v2 && len(p.controllers) > 0 && !slices.ContainsFunc(t.v1, p.same):
			t.v1 = append(t.v1, p)
		}
	}
	if t.v2 == nil && len(t.v1) == 0 {
		if why == nil {
			why = errors.New("none are mounted")
		}
		return nil, fmt.Errorf("find cgroups: %w", why)
	}
	if t.v2 != nil {
		for _, p := range t.v1 { // what v1 has, v2 has not
			taken := func(c string) bool { return slices.Contains(p.controllers, c) }
			t.v2.controllers = slices.DeleteFunc(t.v2.controllers, taken)
		}
	}
	return t, nil
}

// same tells whether the two are the same hierarchy, mounted twice.
func (p place) same(o place) bool { return slices.Equal(p.controllers, o.controllers) }

// hierarchy is the place for our groups in a hierarchy of v1: below the group that we are in.
func hierarchy(m mount, paths map[string]string) (place, error) {
	p := place{mount: m.point, base: m.point}
	for _, c := range m.controllers {
		if slices.Contains([]string{cpu, cpuacct, cpuset, memory, pids}, c) {
			p.controllers = append(p.controllers, c)
			p.base = m.locate(paths[c])
		}
	}
	return p, writable(p.base)
}

// unified is the place for our groups in v2: the group that systemd has delegated, else the top.
func unified(m mount, own string) (place, error) {
	p := place{mount: m.point, base: m.point, v2: true}
	for at := m.locate(own); len(at) > len(m.point); at = filepath.Dir(at) {
		// What is delegated to the systemd of a user is that one's, not ours.
		if delegated(at) && !strings.HasPrefix(filepath.Base(at), "user@") {
			p.base = at
			break
		}
	}
	// The real top may hold processes and give controllers away; that of a container, or a unit, may not.
	_, err := os.Stat(filepath.Join(p.base, "cgroup.type"))
	p.crowded = err == nil
	if err := writable(p.base); err != nil {
		return place{}, err
	}
	text, err := os.ReadFile(filepath.Join(p.base, "cgroup.controllers"))
	if err != nil {
		return place{}, err
	}
	for _, c := range strings.Fields(string(text)) {
		if slices.Contains([]string{cpu, cpuset, memory, pids}, c) {
			p.controllers = append(p.controllers, c)
		}
	}
	return p, nil
}

// delegated tells whether systemd has left a group to its unit (Delegate=yes). It says so in an attribute, of old in
// the one that only root reads.
func delegated(path string) bool {
	for _, name := range []string{"user.delegate", "trusted.delegate"} {
		value := make([]byte, 8)
		if n, err := unix.Getxattr(path, name, value); err == nil && string(value[:n]) == "1" {
			return true
		}
	}
	return false
}

func writable(path string) error {
	err := unix.Access(path, unix.W_OK)
	switch {
	case errors.Is(err, unix.EACCES):
		return fmt.Errorf("%s is not ours to write: run as root, or in a unit with Delegate=yes", path)
	case errors.Is(err, unix.EROFS):
		return fmt.Errorf("%s is mounted read-only, as in a container", path)
	case err != nil:
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// mount is a mounted hierarchy.
type mount struct {
	root        string // group that is visible at point
	point       string
	v2          bool
	controllers []string // v1
}

// locate returns where the group own is. One that is not visible is taken for the top.
func (m mount) locate(own string) string {
	rest, ok := strings.CutPrefix(own+"/", strings.TrimSuffix(m.root, "/")+"/")
	if !ok || strings.Contains("/"+rest, "/../") {
		return m.point
	}
	at := filepath.Join(m.point, rest)
	if _, err := os.Stat(at); err != nil {
		return m.point
	}
	return at
}

// parseMounts reads the hierarchies in a mountinfo file, proc(5).
func parseMounts(text string) (out []mount) {
	for line := range strings.Lines(text) {
		before, after, ok := strings.Cut(line, " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 6 || len(kind) < 3 || kind[0] != "cgroup" && kind[0] != "cgroup2" {
			continue
		}
		m := mount{root: unquote(fields[3]), point: unquote(fields[4]), v2: kind[0] == "cgroup2"}
		if !filepath.IsAbs(m.point) {
			continue
		}
		if !m.v2 {
			m.controllers = strings.Split(kind[2], ",")
		}
		out = append(out, m)
	}
	return out
}

// unquote replaces \040 and its kind, which mountinfo has for blanks.
func unquote(text string) string {
	for code, char := range map[string]string{`\040`: " ", `\011`: "\t", `\012`: "\n"} {
		text = strings.ReplaceAll(text, code, char)
	}
	return strings.ReplaceAll(text, `\134`, `\`)
}

// parseOwn reads /proc/<pid>/cgroup: the group of a process by controller, that of v2 under "".
func parseOwn(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		parts := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(parts) != 3 || !strings.HasPrefix(parts[2], "/") {
			continue
		}
		for _, c := range strings.Split(parts[1], ",") {
			out[c] = parts[2]
		}
	}
	return out
}

func writeFile(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
