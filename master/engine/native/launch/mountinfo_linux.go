package launch

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mounted is a line of /proc/self/mountinfo (proc_pid_mountinfo(5)).
type mounted struct {
	point  string
	flags  uintptr // MS_RDONLY … MS_NODIRATIME of this mount
	system string  // its kind, "proc"
	super  string  // options of the file system, with commas between
}

// flagOf are the options of a mount that a remount has to name, or it would take them away.
var flagOf = map[string]uintptr{
	"ro": unix.MS_RDONLY, "nosuid": unix.MS_NOSUID, "nodev": unix.MS_NODEV, "noexec": unix.MS_NOEXEC,
	"noatime": unix.MS_NOATIME, "nodiratime": unix.MS_NODIRATIME, "relatime": unix.MS_RELATIME,
	"nosymfollow": unix.MS_NOSYMFOLLOW,
}

// readMounts reads the mounts of the calling thread.
func readMounts() ([]mounted, error) {
	data, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return nil, err
	}
	var all []mounted
	for line := range strings.Lines(string(data)) {
		m, err := parseMount(strings.TrimSuffix(line, "\n"))
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

func parseMount(line string) (mounted, error) {
	own, fs, ok := strings.Cut(line, " - ")
	f, g := strings.Split(own, " "), strings.Split(fs, " ")
	if !ok || len(f) < 6 || len(g) < 3 {
		return mounted{}, fmt.Errorf("read mounts: %q has too few fields", line)
	}
	point, err := unescape(f[4])
	if err != nil {
		return mounted{}, fmt.Errorf("read mounts: %q: %w", line, err)
	}
	m := mounted{point: point, system: g[0], super: g[2]}
	for _, option := range strings.Split(f[5], ",") {
		m.flags |= flagOf[option]
	}
	return m, nil
}

// unescape turns \040 into a space, as for each byte that would end a field.
func unescape(s string) (string, error) {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(s, `\`)
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		if len(after) < 3 {
			return "", errors.New("a backslash without a number")
		}
		n, err := strconv.ParseUint(after[:3], 8, 8)
		if err != nil {
			return "", err
		}
		b.WriteByte(byte(n))
		s = after[3:]
	}
}
