package app

import (
	"fmt"
	"slices"
	"strings"
)

// tmpfsOptions are those that docker takes; the second half has a value.
var (
	tmpfsFlags = []string{"rw", "ro", "exec", "noexec", "suid", "nosuid", "dev", "nodev", "sync", "async", "atime",
		"noatime", "diratime", "nodiratime", "relatime", "norelatime", "strictatime", "nostrictatime"}
	tmpfsValues = []string{"size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"}
)

// ParseTmpfs reads path[:option,…], and returns the absolute path.
func ParseTmpfs(text string) (path, options string, err error) {
	path, options, with := strings.Cut(text, ":")
	clean, err := CleanPath(path)
	switch {
	case err != nil:
		return "", "", fmt.Errorf("%w; write a folder of the container, for example /tmp:size=64m", err)
	case clean == ".":
		return "", "", fmt.Errorf("%q is the whole root of the container; write a folder, for example /tmp:size=64m", text)
	}
	if !with {
		return "/" + clean, "", nil
	}
	for _, o := range strings.Split(options, ",") {
		name, value, valued := strings.Cut(o, "=")
		known := slices.Contains(tmpfsFlags, name)
		if valued {
			known = value != "" && strings.IndexFunc(value, strange) < 0 && slices.Contains(tmpfsValues, name)
		}
		if !known {
			const form = "option %q of %q is unknown; write %s, or %s with a value"
			return "", "", fmt.Errorf(form, o, text, strings.Join(tmpfsFlags, ", "), strings.Join(tmpfsValues, "=, ")+"=")
		}
	}
	return "/" + clean, options, nil
}

// strange tells what no value of an option has.
func strange(r rune) bool { return r <= ' ' || r > '~' }

// checkTmpfs checks the folders in memory. targets are those of the mounts, without their first slash.
func (c Container) checkTmpfs(targets map[string]bool) error {
	seen := map[string]bool{}
	for i, text := range c.Tmpfs {
		p, _, err := ParseTmpfs(text)
		if err != nil {
			return fmt.Errorf("tmpfs[%d]: %w", i, err)
		}
		if seen[p] || targets[p[1:]] {
			return fmt.Errorf("tmpfs[%d]: %q is mounted twice; keep one of them", i, p)
		}
		seen[p] = true
	}
	return nil
}
