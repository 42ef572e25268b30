//go:build unix

package native

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// What is read of a program to see what it is: the kernel itself decides by the first 256 bytes.
const (
	headSize = 256
	maxChain = 4 // scripts whose interpreter is a script; the kernel goes on for 5
)

// checkProgram says why the kernel does not run the file at path, or its interpreter; nil: nothing speaks against it.
// It judges the same before a start (Check) and after one that has failed (explain). search is PATH. What cannot be
// read or is not known here is left to the kernel.
func checkProgram(path, search string) error { return checkChain(path, search, 0) }

func checkChain(path, search string, depth int) error {
	if where, ok := noexec(path); ok {
		const text = "%s is on %s, which is mounted noexec: no program starts from there; " +
			"put it on another file system, or write `mount -o remount,exec %s`"
		return fmt.Errorf(text, path, where, where)
	}
	f, err := openRegular(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	head := make([]byte, headSize)
	n, err := io.ReadFull(f, head)
	if n == 0 && errors.Is(err, io.EOF) {
		return fmt.Errorf("%s is empty: it was not copied, or not unpacked, whole", path)
	}
	head = head[:n]
	if foreign(path, head) {
		return nil // another program of this host runs it
	}
	switch {
	case bytes.HasPrefix(head, []byte("\x7fELF")):
		return checkELF(path, f)
	case bytes.HasPrefix(head, []byte("#!")):
		return checkScript(path, head, search, depth)
	}
	return fmt.Errorf("%s is no program of this system: %s", path, whatIs(path, head))
}

// whatIs says what a file is that is neither a program of this system nor a script.
func whatIs(path string, head []byte) string {
	text, marked := bytes.CutPrefix(head, []byte("\xef\xbb\xbf"))
	switch {
	case marked && bytes.HasPrefix(text, []byte("#!")):
		return "a byte order mark stands before its #!; write it as UTF-8 without one: " +
			"`sed -i '1s/^\\xef\\xbb\\xbf//' " + path + "`"
	case bytes.HasPrefix(head, []byte("\xff\xfe#\x00!\x00")), bytes.HasPrefix(head, []byte("\xfe\xff\x00#\x00!")):
		return "it is a script in UTF-16; write it as UTF-8"
	case bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("#!")):
		return "blanks stand before its #!, which has to be the first two bytes"
	case bytes.HasPrefix(head, []byte("MZ")):
		return "it is one of Windows"
	case isMach(head):
		return "it is one of macOS"
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return "it is a zip archive, which has to be unpacked"
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return "it is compressed by gzip, and has to be unpacked"
	case bytes.IndexByte(head, 0) < 0:
		return "a script begins with a line such as #!/bin/sh"
	}
	return "it is neither ELF nor a script that begins with #!"
}

func isMach(head []byte) bool {
	for _, magic := range []string{
		"\xfe\xed\xfa\xce", "\xfe\xed\xfa\xcf", "\xce\xfa\xed\xfe", "\xcf\xfa\xed\xfe", "\xca\xfe\xba\xbe",
	} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return true
		}
	}
	return false
}

// checkScript judges the first line of a script.
func checkScript(path string, head []byte, search string, depth int) error {
	name := filepath.Base(path)
	line, _, whole := bytes.Cut(head[2:], []byte("\n"))
	if !whole && len(head) == headSize && !bytes.ContainsAny(bytes.TrimLeft(line, " \t"), " \t") {
		return fmt.Errorf("the first line of %s is longer than %d bytes, which the kernel does not read; shorten it",
			name, headSize-1)
	}
	if bytes.HasSuffix(line, []byte("\r")) {
		const text = "the first line of %s ends with a carriage return (\\r), as in files of Windows, which the system " +
			"takes for a part of the name: write `sed -i 's/\\r$//' %s`"
		return fmt.Errorf(text, name, path)
	}
	fields := strings.Fields(string(line))
	if len(fields) == 0 {
		return fmt.Errorf("the first line of %s names no interpreter; write one such as #!/bin/sh", name)
	}
	interpreter := fields[0]
	if !filepath.IsAbs(interpreter) {
		return fmt.Errorf("interpreter %s of %s is not an absolute path; write one such as #!/usr/bin/env %s", interpreter,
			name, filepath.Base(interpreter))
	}
	info, err := os.Stat(interpreter)
	switch {
	case os.IsNotExist(err):
		return fmt.Errorf("interpreter %s of %s is not installed", interpreter, name)
	case err != nil:
		return nil
	case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
		return fmt.Errorf("interpreter %s of %s is no program", interpreter, name)
	}
	if wanted := byEnv(fields); wanted != "" && isPath(search) && find(wanted, search) == "" {
		return fmt.Errorf("%s of %s finds no %s; install it, or name its folder in PATH, which is %q", interpreter, name,
			wanted, search)
	}
	if depth == maxChain {
		return nil
	}
	if err := checkChain(interpreter, search, depth+1); err != nil {
		return fmt.Errorf("interpreter of %s: %w", name, err)
	}
	return nil
}

// byEnv is the program that /usr/bin/env is to find for a script; empty: none, or it is not clear which.
func byEnv(fields []string) string {
	if filepath.Base(fields[0]) != "env" || len(fields) != 2 {
		return ""
	}
	if name := fields[1]; !strings.HasPrefix(name, "-") && !strings.ContainsAny(name, "=/") {
		return name
	}
	return ""
}

// isPath tells whether what a program finds by search depends on no working directory.
func isPath(search string) bool {
	for _, dir := range filepath.SplitList(search) {
		if !filepath.IsAbs(dir) {
			return false
		}
	}
	return search != ""
}
