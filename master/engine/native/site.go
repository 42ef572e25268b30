//go:build unix

package native

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/baetyl/baetyl/master/engine/folder"
	"github.com/baetyl/baetyl/master/engine/native/launch"
)

// Folders of the master that hold what is not for every service, relative to its working directory: configuration with
// keys, volumes of others, sockets and directories of others, logs.
var mastersDirs = []string{"etc/baetyl", folder.Data, runDir, "var/log/baetyl"}

// usersFile records which service has which user. Who can write it decides that.
const usersFile = folder.Data + "/users.json"

// cgroupDir is where a host has its cgroups. Programs read their limits there.
const cgroupDir = "/sys/fs/cgroup"

// site collects what an instance of s may see; own are its folders.
func (e *Engine) site(s *sandbox, p program, own []string, search string) site {
	gone := func(l link) bool { return l.volume == "" && !exists(l.source) } // a socket that comes back later
	out := site{
		links:  slices.DeleteFunc(slices.Clone(s.links), gone),
		own:    append([]string{s.dir}, own...),
		closed: func(path string) bool { return closed(s.account, path) },
	}
	if !s.written(p) {
		out.programs = interpreters(p, search)
	}
	if p.path == e.opts.Program {
		out.needed = append(out.needed, launch.Bind{Source: p.path, Target: p.path, ReadOnly: true})
	}
	dirs := []string{runDir} // also a service that is root has no business with the sockets of persons
	if s.account.own() {
		dirs = mastersDirs
		out.covered = []string{"/tmp", "/var/tmp"}
	}
	for _, d := range dirs {
		out.masters = append(out.masters, e.real(d))
	}
	out.never = []string{e.real(usersFile)}
	if isDir(cgroupDir) { // also one that is root stays in its cgroup, with its limits
		out.readonly = []string{cgroupDir}
	}
	if slices.Contains(s.account.capabilities, capDAC) {
		confine(&out)
	}
	return out
}

// Top folders of a host as seen by the service that may pass all permissions (capDAC): what programs need is read-only,
// all others are hidden, whatever a host calls them: data of people, sockets of other programs, devices.
var (
	systemDirs = []string{
		"/bin", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/sbin", "/sys", "/usr", "/var",
	}
	otherwise   = []string{"/boot", "/proc", "/tmp"} // a secret, of its own, of its own
	secretFiles = []string{
		"/etc/shadow", "/etc/gshadow", "/etc/shadow-", "/etc/gshadow-", "/etc/ssh", "/etc/sudoers", "/boot",
	}
	neededFiles = []string{
		"/dev/full", "/dev/null", "/dev/random", "/dev/tty", "/dev/urandom", "/dev/zero", "/run/systemd/resolve",
	}
)

// confine takes away from s what a program could do with capDAC outside of the master's data.
func confine(s *site) {
	s.root, s.readonly = true, nil // cgroupDir is in one of them
	for _, d := range systemDirs {
		if isDir(d) {
			s.readonly = append(s.readonly, d)
		}
	}
	top, _ := filepath.Glob("/*") // an error is one of the pattern
	inVar, _ := filepath.Glob("/var/*")
	for _, d := range slices.Concat(top, inVar) {
		known := slices.Contains(systemDirs, d) || slices.Contains(otherwise, d)
		if isDir(d) && !known && !slices.Contains(s.covered, d) { // the private /var/tmp needs its place
			s.masters = append(s.masters, d)
		}
	}
	s.never = append(s.never, secretFiles...)
	for _, f := range top { // a swap file
		if info, err := os.Lstat(f); err == nil && info.Mode().IsRegular() {
			s.never = append(s.never, f)
		}
	}
	for _, f := range neededFiles {
		if real, err := filepath.EvalSymlinks(f); err == nil && real == f {
			s.needed = append(s.needed, launch.Bind{Source: f, Target: f, ReadOnly: strings.HasPrefix(f, "/run/")})
		}
	}
}

// written tells whether the package of p, or a part of it, is written by this service or another one that mounts it.
func (s *sandbox) written(p program) bool {
	return touches(s.links, p.root) || slices.ContainsFunc(s.links, func(l link) bool {
		return folder.Within(p.root, l.source) && len(s.service.Uses[l.volume].Writers) > 0
	})
}

func isDir(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.IsDir()
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// real returns the absolute path of a file of the master, without links as far as it exists.
func (e *Engine) real(rel string) string {
	path := filepath.Join(e.opts.Workdir, filepath.FromSlash(rel))
	if to, err := filepath.EvalSymlinks(path); err == nil {
		return to
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		return filepath.Join(dir, filepath.Base(path))
	}
	return path
}

// closed tells whether a cannot pass a folder above path. It judges by the mode: what only an access control list
// allows counts as closed, and is bound, which does no harm.
func closed(a account, path string) bool {
	if !a.own() {
		return false
	}
	for dir := filepath.Dir(path); dir != "/"; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			continue
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if ok && !passes(a, stat, info.Mode().Perm()) {
			return true
		}
	}
	return false
}

func passes(a account, stat *syscall.Stat_t, mode os.FileMode) bool {
	switch gid := int(stat.Gid); {
	case int(stat.Uid) == a.uid:
		return mode&0o100 != 0
	case gid == a.gid || slices.Contains(a.groups, gid):
		return mode&0o010 != 0
	}
	return mode&0o001 != 0
}
