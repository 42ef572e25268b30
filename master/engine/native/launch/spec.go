//go:build unix

package launch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
)

// maxSpec is the size of the largest description that is read, in bytes.
const maxSpec = 1 << 20

// Spec is what a process does before it becomes the program. Its zero value is not safe: it names root, which needs
// Privileged, and leaves files writable for everybody.
//
// Paths are absolute and clean. Those of ReadOnly and Binds have no links in them: whoever can put a link in the way of
// one would choose what a service gets.
type Spec struct {
	Keeper  int      // process that must be the parent, and whose end is the end of this one; 0: of nobody
	Program string   // to become; empty: end after everything else was done
	Args    []string // from arg[0] on
	Env     []string // of the program, complete. This process itself, which is root for a while, is to get none of it
	Dir     string   // working directory of the program, entered as its user; empty: /

	// Listen are the names of the sockets that are on descriptors 5 and up, at most MaxListen. The program finds them on 3
	// and up, with LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES (sd_listen_fds(3)). Linux
	Listen []string

	// Join is how many namespaces are on descriptors 5 and up, which the program enters. Then none of what needs mounts of
	// its own may be asked for, nor Listen. Linux
	Join     int
	Find     bool // Program is searched for in PATH of Env, by the user, unless there is a slash in it
	Terminal bool // standard input is a terminal, which becomes that of the session

	UID, GID int   // -1: not changed
	Groups   []int // besides GID; nil with UID -1: not changed

	// Capabilities stay, as ambient ones, so that the program has them; all others leave every set. With Privileged, nil
	// keeps all.
	Capabilities []string
	Privileged   bool // the program may be root

	ReadOnly []string // folders and files that cannot be written to, with all that is mounted below
	// ReadOnlyRoot is for the mount at /, without what is mounted or bound below: files and links in / itself.
	ReadOnlyRoot bool
	Binds        []Bind
	Hidden       []string // not seen; what does not exist is left out, so hide the folder of a file that comes and goes
	PrivateTmp   bool     // /tmp and /var/tmp are one folder of this process, in memory
	PrivateIPC   bool     // shared memory, semaphores and message queues are of this process, and end with it
	HideProc     bool     // /proc shows no processes of other users

	Cgroups     []string // v1: folders of the cgroups to enter
	Umask       int      // -1: not changed
	OOMScoreAdj int      // -1000 to 1000; stays as it is where only root could lower it
	NoFile      uint64   // limit of open files, soft and hard; 0: as the keeper was started with
}

// MaxListen is how many sockets a program may inherit.
const MaxListen = 64

// MaxJoin is how many namespaces a program may enter.
const MaxJoin = 8

// IsSocketName tells whether name may be that of a socket: ASCII that can be printed, without ':' (sd_listen_fds(3)).
func IsSocketName(name string) bool {
	odd := func(r rune) bool { return r < ' ' || r > '~' || r == ':' }
	return name != "" && len(name) <= 255 && !strings.ContainsFunc(name, odd)
}

// environ is the environment of the program, which has the number pid.
func (s Spec) environ(pid int) []string {
	if len(s.Listen) == 0 {
		return s.Env
	}
	env := slices.DeleteFunc(slices.Clone(s.Env), func(kv string) bool { return strings.HasPrefix(kv, "LISTEN_") })
	return append(env, fmt.Sprintf("LISTEN_PID=%d", pid), fmt.Sprintf("LISTEN_FDS=%d", len(s.Listen)),
		"LISTEN_FDNAMES="+strings.Join(s.Listen, ":"))
}

// Bind shows Source, a folder or a file, at Target. Where the user may not enter a folder on the way to Target, that
// folder is replaced by one that holds only what is bound below it.
type Bind struct {
	Source, Target string
	ReadOnly       bool
}

// Decode reads what Spec.Encode wrote, and checks it.
func Decode(data []byte) (Spec, error) {
	var s Spec
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields() // a part that is not understood would not be done
	if err := d.Decode(&s); err != nil {
		return Spec{}, fmt.Errorf("read what to do: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Spec{}, errors.New("read what to do: there is more than one description")
	}
	if err := s.validate(); err != nil {
		return Spec{}, fmt.Errorf("read what to do: %w", err)
	}
	return s, nil
}

// Encode checks s and writes it, for descriptor 3 of the process.
func (s Spec) Encode() ([]byte, error) {
	if err := s.validate(); err != nil {
		return nil, fmt.Errorf("describe the start of %s: %w", s.Program, err)
	}
	data, err := json.Marshal(s)
	if err == nil && len(data) > maxSpec {
		err = fmt.Errorf("it has %d bytes, at most %d", len(data), maxSpec)
	}
	if err != nil {
		return nil, fmt.Errorf("describe the start of %s: %w", s.Program, err)
	}
	return data, nil
}

const maxID int64 = 1<<32 - 2 // the largest of users and groups; the number after it means "not changed"

func (s Spec) validate() error {
	if s.Program != "" {
		if err := checkPath("Program", s.Program); err != nil && !s.Find {
			return err
		}
		if len(s.Args) == 0 {
			return errors.New("Args: there is no arg[0]")
		}
	}
	if s.Dir != "" && s.Dir != "/" {
		if err := checkPath("Dir", s.Dir); err != nil {
			return err
		}
	}
	if len(s.Listen) > MaxListen {
		return fmt.Errorf("Listen: %d sockets are more than %d", len(s.Listen), MaxListen)
	}
	for _, name := range s.Listen {
		if !IsSocketName(name) {
			return fmt.Errorf("Listen: %q is not the name of a socket", name)
		}
	}
	for name, list := range map[string][]string{"Args": s.Args, "Env": s.Env} {
		for _, a := range list {
			if strings.ContainsRune(a, 0) {
				return fmt.Errorf("%s: %q has a zero byte", name, a)
			}
		}
	}
	switch {
	case strings.ContainsRune(s.Program, 0):
		return fmt.Errorf("Program: %q has a zero byte", s.Program)
	case s.Join < 0 || s.Join > MaxJoin:
		return fmt.Errorf("Join: %d is not 0 to %d", s.Join, MaxJoin)
	case s.Join > 0 && (s.mounts() || len(s.Listen) > 0):
		return errors.New("Join: what joins namespaces makes none, and inherits no sockets")
	case s.Keeper < 0:
		return fmt.Errorf("Keeper: %d is no process", s.Keeper)
	case s.UID == 0 && !s.Privileged:
		return errors.New("UID: root needs Privileged")
	case s.Umask < -1 || s.Umask > 0o777:
		return fmt.Errorf("Umask: %d is not -1 to 0777", s.Umask)
	case s.OOMScoreAdj < -1000 || s.OOMScoreAdj > 1000:
		return fmt.Errorf("OOMScoreAdj: %d is not -1000 to 1000", s.OOMScoreAdj)
	}
	for _, id := range append([]int{max(s.UID, 0), max(s.GID, 0)}, s.Groups...) {
		if id < 0 || int64(id) > maxID {
			return fmt.Errorf("%d is neither a user nor a group", id)
		}
	}
	for _, c := range s.Capabilities {
		if !slices.Contains(capabilities, c) {
			return fmt.Errorf("Capabilities: %q is not known", c)
		}
	}
	return s.validatePaths()
}

func (s Spec) validatePaths() error {
	for name, paths := range map[string][]string{"ReadOnly": s.ReadOnly, "Hidden": s.Hidden, "Cgroups": s.Cgroups} {
		for _, p := range paths {
			if err := checkPath(name, p); err != nil {
				return err
			}
		}
	}
	for _, b := range s.Binds {
		if err := errors.Join(checkPath("Binds", b.Source), checkPath("Binds", b.Target)); err != nil {
			return err
		}
	}
	return nil
}

func checkPath(field, path string) error {
	switch {
	case !filepath.IsAbs(path) || filepath.Clean(path) != path:
		return fmt.Errorf("%s: %q is not an absolute, clean path", field, path)
	case path == "/" && field != "Program":
		return fmt.Errorf("%s: the root folder cannot be changed", field)
	case strings.ContainsRune(path, 0):
		return fmt.Errorf("%s: %q has a zero byte", field, path)
	}
	return nil
}

// mounts tells whether s needs mounts of its own.
func (s Spec) mounts() bool {
	return s.PrivateTmp || s.PrivateIPC || s.HideProc || s.ReadOnlyRoot || len(s.ReadOnly)+len(s.Binds)+len(s.Hidden) > 0
}

// capabilities are the names by number (capabilities(7)).
var capabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
	"CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
	"CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
	"CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
	"CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
	"CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
}
