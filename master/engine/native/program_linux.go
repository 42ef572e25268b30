package native

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// noexec returns the place of the file system of path when no program starts from it.
func noexec(path string) (where string, ok bool) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil || !isNoexec(path) {
		return "", false
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if !isNoexec(dir) || !sameDevice(dir, path) {
			return path, true
		}
		if path = dir; dir == "/" {
			return path, true
		}
	}
}

func isNoexec(path string) bool {
	var s unix.Statfs_t
	return unix.Statfs(path, &s) == nil && s.Flags&unix.MS_NOEXEC != 0 // its flags have the values of mount(2)
}

func sameDevice(a, b string) bool {
	var x, y unix.Stat_t
	return unix.Lstat(a, &x) == nil && unix.Lstat(b, &y) == nil && x.Dev == y.Dev
}

// kernels are the processors whose programs a kernel runs by itself, by its name for its own. A kernel may have been
// built without the 32 bit ones; that cannot be seen here.
var kernels = map[string][]uint16{
	"x86_64": {62, 3}, "i386": {3}, "i486": {3}, "i586": {3}, "i686": {3},
	"aarch64": {183, 40}, "armv8l": {183, 40}, "armv7l": {40}, "armv6l": {40}, "armv5tel": {40}, "armv5tejl": {40},
	"mips": {8}, "mips64": {8}, "ppc": {20}, "ppc64": {20, 21}, "ppc64le": {21}, "riscv32": {243}, "riscv64": {243},
	"s390x": {22}, "loongarch64": {258},
}

// hostMachines returns the processors whose programs run here, and the name of this one; nil when that is not known.
var hostMachines = sync.OnceValues(func() (map[uint16]bool, string) {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return nil, ""
	}
	name := unix.ByteSliceToString(u.Machine[:])
	known := kernels[name]
	if len(known) == 0 {
		return nil, name
	}
	out := map[uint16]bool{}
	for _, m := range known {
		out[m] = true
	}
	if f, err := os.Open("/proc/self/exe"); err == nil { // a 64 bit kernel may call itself a 32 bit one (personality(2))
		if h, err := readELF(f); err == nil {
			out[h.machine] = true
		}
		_ = f.Close() // it was read
	}
	return out, name
})

// formats is where the kernel keeps what other programs run for it (binfmt_misc).
const formats = "/proc/sys/fs/binfmt_misc"

// foreign tells whether another program of this host runs files such as this one, as qemu-user does.
func foreign(path string, head []byte) bool {
	entries, _ := os.ReadDir(formats) // without it there are none
	for _, e := range entries {
		if e.Name() == "register" || e.Name() == "status" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(formats, e.Name()))
		if err == nil && parseFormat(string(text)).takes(path, head) {
			return true
		}
	}
	return false
}

// format is an entry of binfmt_misc.
type format struct {
	enabled     bool
	extension   string
	offset      int
	magic, mask []byte
}

// parseFormat reads one; what it does not understand matches nothing.
func parseFormat(text string) (f format) {
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch name {
		case "enabled":
			f.enabled = true
		case "extension":
			f.extension = strings.TrimPrefix(value, ".")
		case "offset":
			f.offset, _ = strconv.Atoi(value) // leaves 0
		case "magic":
			f.magic, _ = hex.DecodeString(value) // leaves what could be read, as for mask
		case "mask":
			f.mask, _ = hex.DecodeString(value)
		}
	}
	return f
}

func (f format) takes(path string, head []byte) bool {
	switch {
	case !f.enabled:
		return false
	case f.extension != "":
		return strings.TrimPrefix(filepath.Ext(path), ".") == f.extension
	case len(f.magic) == 0 || f.offset < 0 || f.offset > len(head) || len(head)-f.offset < len(f.magic):
		return false
	}
	part := bytes.Clone(head[f.offset : f.offset+len(f.magic)])
	magic := bytes.Clone(f.magic)
	for i := range min(len(part), len(f.mask)) {
		part[i] &= f.mask[i]
		magic[i] &= f.mask[i]
	}
	return bytes.Equal(part, magic)
}
