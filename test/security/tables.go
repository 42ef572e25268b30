//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
)

// runDir is where the master has what lasts as long as it runs.
const runDir = "var/run/baetyl/"

// table is one of Markdown.
func table(head []string, rows [][]string) string {
	var b strings.Builder
	line := func(cells []string) { b.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	line(head)
	b.WriteString(strings.Repeat("|---", len(head)) + "|\n")
	for _, r := range rows {
		line(r)
	}
	return b.String()
}

func nativeTables(all []facts) string {
	var who, files, net [][]string
	for _, f := range all {
		who = append(who, []string{f.label(), f.user(), f.capabilities(), yes(f.NoNewPrivs), list(f.Namespaces),
			yes(f.Cgroup), list(f.Limits), list(f.Shared)})
		net = append(net, []string{f.label(), list(f.Listens), list(f.Peers), f.token(), list(f.Rights)})
		if f.Module != "" {
			files = append(files, f.files())
		}
	}
	return "Who it is:\n\n" +
		table([]string{"Process", "User", "Capabilities", "no_new_privs", "Namespaces of its own", "Own cgroup", "Limits",
			"Descriptors shared with keeper or master"}, who) +
		"\nWhat it sees of files, relative to the working directory of the master:\n\n" +
		table([]string{"Service", "Writes", "Reads only", "Sees beside that", "Hidden of the host", "Its own",
			"Processes of others", "Writable for all"}, files) +
		"\nWhom it talks to:\n\n" +
		table([]string{"Process", "Listens on", "Connected to", "Token", "API"}, net) +
		"\nWarnings of inspect: " + warnings(all) + "\n"
}

// warnings are those of all services: what this host does not give.
func warnings(all []facts) string {
	var out []string
	for _, f := range all {
		out = append(out, f.Warnings...)
	}
	if len(out) == 0 {
		return "none."
	}
	return list(out) + "."
}

func dockerTables(all []facts) string {
	var who, files, net [][]string
	for _, f := range all {
		if f.Container == nil {
			continue
		}
		who = append(who, []string{f.label(), f.user(), f.capabilities(), yes(f.NoNewPrivs), yes(f.Seccomp),
			yes(f.Container.Privileged), yes(f.Container.ReadOnly), list(f.Namespaces), list(f.Limits),
			list(f.Container.Options)})
		var writes, reads []string
		for _, m := range f.Container.Binds {
			if m.ReadOnly {
				reads = append(reads, m.Path)
			} else {
				writes = append(writes, m.Path)
			}
		}
		files = append(files, []string{f.label(), list(writes), list(reads)})
		net = append(net, []string{f.label(), list(f.Container.Networks), list(f.Container.Ports), list(f.Listens), f.token(),
			list(f.Rights)})
	}
	return "Who it is:\n\n" +
		table([]string{"Service", "User", "Capabilities", "no_new_privs", "seccomp", "Privileged", "Read-only root",
			"Namespaces of its own", "Limits", "Options"}, who) +
		"\nWhat it sees of the host's files, by its paths:\n\n" +
		table([]string{"Service", "Writes", "Reads only"}, files) +
		"\nWhom it talks to:\n\n" +
		table([]string{"Service", "Networks", "Ports of the host", "Listens on", "Token", "API"}, net)
}

func (f facts) label() string {
	if f.Module == "" {
		return f.Name
	}
	return f.Name + " (`" + f.Module + "`)"
}

// user says what a number means; numbers themselves differ from one installation to the next.
func (f facts) user() string {
	switch {
	case f.UID == 0:
		return "root"
	case f.Container != nil && f.Container.User != "":
		return f.Container.User
	case f.Container != nil:
		return fmt.Sprint(f.UID)
	}
	return fmt.Sprintf("its own, %d groups of volumes", f.Groups)
}

func (f facts) capabilities() string {
	const few, many = 5, 20
	switch {
	case len(f.Effective) > many:
		return "all"
	case f.Container != nil && len(f.Effective) > few:
		return fmt.Sprintf("docker's default (%d)", len(f.Effective))
	case f.UID != 0 && !slices.Equal(f.Effective, f.Bounding):
		return list(f.Effective) + " (bounding: " + fmt.Sprint(len(f.Bounding)) + ")"
	}
	return list(f.Effective)
}

func (f facts) token() string {
	if f.Module == "" {
		return "–"
	}
	return yes(f.Token)
}

// cgroups are mounted read-only for every native service.
const cgroups = "/sys/fs/cgroup"

// private are folders that every native service has of its own, in memory.
var private = []string{"/tmp", "/var/tmp", "/dev/shm"}

// files is the row of a native service. Paths of the working directory are those below it.
func (f facts) files() []string {
	var writes, reads, hidden, own []string
	for _, m := range f.Mounts {
		rel, inside := strings.CutPrefix(m.Path, f.Dir+"/")
		switch {
		case m.Path == "/proc" || m.Path == "/dev/null" || m.Path == "/dev/mqueue" || rel == "var/run/baetyl.sock":
		case m.ReadOnly && (m.Path == cgroups || strings.HasPrefix(m.Path, cgroups+"/")): // those of the host, for all
		case slices.Contains(private, m.Path) || strings.HasPrefix(rel, runDir):
			if !inside {
				rel = m.Path
			}
			own = append(own, place(rel))
		case !inside && m.Type == "tmpfs":
			hidden = append(hidden, usual(m.Path))
		case !inside && m.ReadOnly && strings.HasPrefix(f.Module, "baetyl-function-"):
			reads = append(reads, "its interpreter")
		case !inside && m.ReadOnly:
			reads = append(reads, m.Path)
		case !inside || m.Type == "tmpfs":
		case m.ReadOnly:
			reads = append(reads, strings.TrimPrefix(rel, "var/db/baetyl/"))
		default:
			writes = append(writes, rel)
		}
	}
	others := "visible"
	if f.HidesProc {
		others = "hidden"
	}
	public := slices.DeleteFunc(slices.Clone(f.Writes), func(p string) bool { return slices.Contains(own, p) })
	foreign := list(f.Foreign)
	if slices.Contains(writes, "var/db/baetyl") {
		foreign = "all volumes"
	}
	return []string{f.label(), list(outer(writes)), list(outer(reads)), foreign, list(outer(hidden)), list(own), others,
		list(public)}
}

// usual is path, or what a folder is that other machines do not have.
func usual(path string) string {
	known := []string{"/boot", "/dev", "/home", "/media", "/mnt", "/root", "/run", "/srv"}
	if strings.Count(path, "/") > 1 || slices.Contains(known, path) {
		return path
	}
	return "all other folders of /"
}

// place is the kind of a folder whose name differs.
func place(rel string) string {
	kind, _, _ := strings.Cut(strings.TrimPrefix(rel, runDir), "/")
	switch kind {
	case "services":
		return "working directory"
	case "instances":
		return "run folder"
	}
	return rel
}

// outer leaves out what lies below another entry.
func outer(all []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(p string) bool {
		return slices.ContainsFunc(all, func(above string) bool { return strings.HasPrefix(p, above+"/") })
	})
}

func list(all []string) string {
	if len(all) == 0 {
		return "–"
	}
	slices.Sort(all)
	return strings.Join(slices.Compact(all), ", ")
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
