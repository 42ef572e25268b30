//go:build linux

package native_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/baetyl/baetyl/master/engine/native"
)

// program makes the head of an ELF file.
func program(change func(*elf.Header64), loader string) []byte {
	h := elf.Header64{
		Type: uint16(elf.ET_DYN), Machine: uint16(machine()), Version: 1, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1,
	}
	copy(h.Ident[:], "\x7fELF\x02\x01\x01")
	change(&h)
	var order binary.ByteOrder = binary.LittleEndian
	if h.Ident[5] == 2 {
		order = binary.BigEndian
	}
	part := elf.Prog64{Type: uint32(elf.PT_LOAD)}
	if loader != "" {
		part = elf.Prog64{Type: uint32(elf.PT_INTERP), Off: 120, Filesz: uint64(len(loader) + 1)}
	}
	var b bytes.Buffer
	_ = binary.Write(&b, order, h) // a buffer takes everything
	_ = binary.Write(&b, order, part)
	b.WriteString(loader + "\x00")
	return b.Bytes()
}

func machine() elf.Machine {
	return map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[runtime.GOARCH]
}

func asIs(*elf.Header64) {}

// What the kernel would refuse, each with its cause and its remedy.
func TestPrograms(t *testing.T) {
	if machine() == 0 {
		t.Skip("the heads of programs are those of 64 bit processors")
	}
	self, err := os.ReadFile("/proc/self/exe")
	require.NoError(t, err)
	for name, c := range map[string]struct{ content, want string }{
		"script":              {"#!/bin/sh\nexit 0\n", ""},
		"script with options": {"#! /bin/sh -e\n", ""},
		"script with env":     {"#!/usr/bin/env sh\n", ""},
		"env with options":    {"#!/usr/bin/env -S nothing -x\n", ""},
		"line without end":    {"#!/bin/sh", ""},
		"static program":      {string(program(asIs, "")), ""},
		"loader is there":     {string(program(asIs, "/bin/sh")), ""},

		"empty":                {"", "is empty: it was not copied, or not unpacked, whole"},
		"windows line":         {"#!/bin/sh\r\nexit 0\r\n", "ends with a carriage return"},
		"windows line, option": {"#!/usr/bin/env python3\r\n", "write `sed -i 's/\\r$//' "},
		"windows line, alone":  {"#!/bin/sh -e\r", "ends with a carriage return"},
		"byte order mark":      {"\xef\xbb\xbf#!/bin/sh\n", "a byte order mark stands before its #!"},
		"utf-16":               {"\xff\xfe#\x00!\x00/\x00", "it is a script in UTF-16"},
		"blank line first":     {"\n#!/bin/sh\n", "blanks stand before its #!"},
		"no first line":        {"echo x\n", "a script begins with a line such as #!/bin/sh"},
		"no interpreter":       {"#!\n", "names no interpreter"},
		"missing interpreter":  {"#!/opt/none/python -u\n", "interpreter /opt/none/python of run is not installed"},
		"relative interpreter": {"#!python3\n", "is not an absolute path; write one such as #!/usr/bin/env python3"},
		"folder":               {"#!/usr/bin\n", "interpreter /usr/bin of run is no program"},
		"no program":           {"#!/etc/passwd\n", "interpreter /etc/passwd of run is no program"},
		"env finds none":       {"#!/usr/bin/env python2.7.none\n", "/usr/bin/env of run finds no python2.7.none"},
		"long line":            {"#!/" + strings.Repeat("x", 300), "is longer than 255 bytes"},
		"windows":              {"MZ\x90\x00", "it is one of Windows"},
		"macos":                {"\xcf\xfa\xed\xfe\x07", "it is one of macOS"},
		"zip":                  {"PK\x03\x04", "it is a zip archive"},
		"gzip":                 {"\x1f\x8b\x08", "it is compressed by gzip"},
		"bytes":                {"\x00\x01\x02", "it is neither ELF nor a script"},

		"cut off":            {"\x7fELF\x02\x01", "is cut off"},
		"cut off in parts":   {string(program(asIs, "")[:100]), "is cut off"},
		"cut off in loader":  {string(program(asIs, "/bin/sh")[:124]), "is cut off"},
		"half of it":         {string(self[:len(self)/2]), "is cut off"},
		"no order of bytes":  {"\x7fELF\x02\x07" + strings.Repeat("\x00", 64), "has no order of bytes"},
		"other processor":    {string(program(func(h *elf.Header64) { h.Machine = uint16(elf.EM_S390) }, "")), "is for another processor, s390"},
		"unknown processor":  {string(program(func(h *elf.Header64) { h.Machine = 4711 }, "")), "is for another processor, number 4711"},
		"big endian":         {string(program(func(h *elf.Header64) { h.Ident[5] = 2 }, "")), "with the other order of bytes"},
		"object file":        {string(program(func(h *elf.Header64) { h.Type = 1 }, "")), "is no program: it is an object file"},
		"dump":               {string(program(func(h *elf.Header64) { h.Type = 4 }, "")), "is no program: it is an object file"},
		"loader of musl":     {string(program(asIs, "/lib/ld-musl-none.so.1")), "needs the loader /lib/ld-musl-none.so.1, which is not installed: it was built for musl, as on Alpine, 64 bit"},
		"loader of glibc":    {string(program(asIs, "/lib/ld-linux-none.so.3")), "it was built for glibc"},
		"loader of android":  {string(program(asIs, "/system/bin/linker64")), "it was built for Android"},
		"loader is no file":  {string(program(asIs, "/usr/bin")), "which is no program"},
		"script of a script": {"#!OTHER\n", "interpreter of run: the first line of other ends with a carriage return"},
		"script of itself":   {"#!SELF\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path, other := filepath.Join(dir, "run"), filepath.Join(dir, "other")
			require.NoError(t, os.WriteFile(other, []byte("#!/bin/sh\r\n"), 0o755))
			content := strings.NewReplacer("OTHER", other, "SELF", path).Replace(c.content)
			require.NoError(t, os.WriteFile(path, []byte(content), 0o755))
			err := native.CheckProgram(path, "/usr/local/bin:/usr/bin:/bin")
			if c.want == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.want)
			}
		})
	}
}

// Programs of this host run: nothing speaks against those that are used every day.
func TestProgramsOfTheHost(t *testing.T) {
	files, err := filepath.Glob("/usr/bin/*")
	require.NoError(t, err)
	n := 0
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 || unix.Access(f, unix.X_OK) != nil {
			continue
		}
		if err := native.CheckProgram(f, os.Getenv("PATH")); err != nil {
			t.Logf("%s: %s", f, err)
			n++
		}
	}
	require.LessOrEqual(t, n, len(files)/100, "a few have an interpreter that is not installed")
}

// A file system without programs is named, with the way out.
func TestNoexec(t *testing.T) {
	needsRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", unix.MS_NOEXEC, ""); err != nil {
		t.Skip("this host does not let us mount:", err)
	}
	defer func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) }()
	path := filepath.Join(dir, "a/run")
	require.NoError(t, os.Mkdir(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755))
	err := native.CheckProgram(path, "")
	require.ErrorContains(t, err, path+" is on "+dir+", which is mounted noexec")
	require.ErrorContains(t, err, "mount -o remount,exec "+dir)

	script := filepath.Join(t.TempDir(), "script")
	require.NoError(t, os.WriteFile(script, []byte("#!"+path+"\n"), 0o755))
	require.ErrorContains(t, native.CheckProgram(script, ""), "interpreter of script: "+path+" is on "+dir)
}

// What another program of the host runs is no business of the kernel's rules.
func TestForeignPrograms(t *testing.T) {
	const qemu = "enabled\ninterpreter /usr/bin/qemu-arm\nflags: F\noffset 0\n" +
		"magic 7f454c4601010100\nmask ffffffffffff00ff\n"
	head := []byte("\x7fELF\x01\x01\x07\x00more")
	require.True(t, native.Takes(qemu, "x", head))
	require.False(t, native.Takes(strings.Replace(qemu, "enabled", "disabled", 1), "x", head))
	require.False(t, native.Takes(qemu, "x", []byte("\x7fELF\x02\x01\x07\x00")))
	require.False(t, native.Takes(qemu, "x", []byte("\x7fELF")))
	require.True(t, native.Takes("enabled\nextension .jar\n", "a/b.jar", nil))
	require.False(t, native.Takes("enabled\nextension .jar\n", "a/b.exe", nil))
	require.False(t, native.Takes("enabled\noffset -1\nmagic 00\n", "x", head))
	require.False(t, native.Takes("enabled\n", "x", head))
}

func FuzzProgram(f *testing.F) {
	f.Add([]byte("#!/usr/bin/env sh\n"), "/bin:/usr/bin")
	f.Add([]byte("\xef\xbb\xbf#!/bin/sh\r\n"), "")
	f.Add(program(asIs, "/lib/ld-linux.so.2"), ".")
	f.Add(program(func(h *elf.Header64) { h.Ident[5] = 2 }, ""), "")
	f.Fuzz(func(t *testing.T, content []byte, search string) {
		path := filepath.Join(t.TempDir(), "run")
		require.NoError(t, os.WriteFile(path, content, 0o755))
		err := native.CheckProgram(path, search)
		if err != nil {
			require.NotContains(t, err.Error(), "%!")
			require.Less(t, len(err.Error()), 20_000)
		}
	})
}

func FuzzFormat(f *testing.F) {
	f.Add("enabled\noffset 3\nmagic 7f45\nmask ff00\n", []byte("\x7fELF\x01\x01\x07\x00more"))
	f.Fuzz(func(_ *testing.T, text string, head []byte) { native.Takes(text, "x.y", head) })
}
