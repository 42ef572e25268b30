//go:build unix

package native

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// Places in the head of an ELF file (elf(5)).
const (
	elfClass, elfData, elfType, elfMachine = 4, 5, 16, 18
	typeExec, typeDyn                      = 2, 3
	partLoad, partInterp                   = 1, 3
	maxParts                               = 1000
	maxLoader                              = 4096 // bytes of a path
)

// machines are the names of processors by their number in ELF files.
var machines = map[uint16]string{
	2: "sparc", 3: "x86, 32 bit", 8: "mips", 20: "powerpc", 21: "powerpc, 64 bit", 22: "s390", 40: "arm, 32 bit",
	42: "superh", 43: "sparc, 64 bit", 50: "ia64", 62: "x86-64", 183: "arm64", 243: "riscv", 258: "loongarch",
}

func machineName(n uint16) string {
	if name := machines[n]; name != "" {
		return name
	}
	return fmt.Sprintf("number %d", n)
}

// header is what counts of an ELF file.
type header struct {
	wide    bool // 64 bit
	order   binary.ByteOrder
	kind    uint16
	machine uint16
	loader  string // that the program is to be started by; empty: none
}

var errCut = errors.New("is cut off: it was not copied, or not unpacked, whole")

// readELF reads it, and looks whether what the kernel loads is there: a program may lack the rest, as its sections,
// without which debug/elf takes it for damaged.
func readELF(r io.ReaderAt) (h header, err error) {
	head := make([]byte, 64)
	n, _ := r.ReadAt(head, 0) // an error is that of the end
	if n < 52 {
		return h, errCut
	}
	h.wide = head[elfClass] == 2
	if h.wide && n < 64 {
		return h, errCut
	}
	switch head[elfData] {
	case 1:
		h.order = binary.LittleEndian
	case 2:
		h.order = binary.BigEndian
	default:
		return h, errors.New("has no order of bytes, so it is no program")
	}
	h.kind, h.machine = h.order.Uint16(head[elfType:]), h.order.Uint16(head[elfMachine:])
	at, size, count := int64(h.order.Uint32(head[28:])), int64(h.order.Uint16(head[42:])), h.order.Uint16(head[44:])
	if h.wide {
		at, size, count = int64(h.order.Uint64(head[32:])), int64(h.order.Uint16(head[54:])), h.order.Uint16(head[56:])
	}
	if at < 0 || size < 32 || h.wide && size < 56 || count > maxParts {
		return h, nil // the kernel will say what it thinks of it
	}
	part := make([]byte, size)
	for i := range int64(count) {
		if _, err := r.ReadAt(part, at+i*size); err != nil {
			return h, errCut
		}
		place, length := int64(h.order.Uint32(part[4:])), int64(h.order.Uint32(part[16:]))
		if h.wide {
			place, length = int64(h.order.Uint64(part[8:])), int64(h.order.Uint64(part[32:]))
		}
		switch kind := h.order.Uint32(part); {
		case place < 0 || length < 0 || place > math.MaxInt64-length: // the kernel's again
		case kind == partLoad && length > 0: // the kernel starts what lacks the end of it, and SIGBUS ends that
			if _, err := r.ReadAt(make([]byte, 1), place+length-1); err != nil {
				return h, errCut
			}
		case kind == partInterp && h.loader == "" && length >= 2 && length <= maxLoader:
			name := make([]byte, length)
			if _, err := r.ReadAt(name, place); err != nil {
				return h, errCut
			}
			h.loader = string(name[:length-1]) // a zero byte ends it
		}
	}
	return h, nil
}

// checkELF judges a program of this system by its head.
func checkELF(path string, r io.ReaderAt) error {
	h, err := readELF(r)
	if err != nil {
		return fmt.Errorf("%s %w", path, err)
	}
	own, name := hostMachines()
	switch {
	case h.kind != typeExec && h.kind != typeDyn:
		return fmt.Errorf("%s is no program: it is an object file, a module or a dump", path)
	case len(own) > 0 && (!own[h.machine] || h.order.Uint16([]byte{1, 0}) != binary.NativeEndian.Uint16([]byte{1, 0})):
		order := ""
		if own[h.machine] {
			order = " with the other order of bytes"
		}
		return fmt.Errorf("%s is for another processor, %s%s, and this one is %s; take the package for it", path,
			machineName(h.machine), order, name)
	case h.loader == "":
		return nil
	}
	info, err := os.Stat(h.loader)
	switch {
	case os.IsNotExist(err):
		return fmt.Errorf("%s needs the loader %s, which is not installed: it was built for %s; "+
			"take a package for this system, or a static one", path, h.loader, libraryOf(h))
	case err == nil && (!info.Mode().IsRegular() || info.Mode()&0o111 == 0):
		return fmt.Errorf("%s needs the loader %s, which is no program", path, h.loader)
	}
	if where, ok := noexec(h.loader); ok {
		return fmt.Errorf("%s needs the loader %s, and %s is mounted noexec", path, h.loader, where)
	}
	return nil
}

// libraryOf says whose loader it is that a program wants.
func libraryOf(h header) string {
	name := filepath.Base(h.loader)
	library := "another system"
	switch {
	case strings.HasPrefix(name, "ld-musl"):
		library = "musl, as on Alpine"
	case strings.HasPrefix(name, "ld-linux"), strings.HasPrefix(name, "ld.so"), strings.HasPrefix(name, "ld64"):
		library = "glibc, as on Debian"
	case strings.HasPrefix(name, "ld-uClibc"):
		library = "uClibc"
	case strings.HasPrefix(name, "linker"):
		library = "Android"
	}
	bits := 32
	if h.wide {
		bits = 64
	}
	return fmt.Sprintf("%s, %d bit", library, bits)
}
