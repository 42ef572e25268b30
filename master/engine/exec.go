//go:build unix

package engine

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

// The kernel's limits of what a program is given (execve(2)).
const (
	textPages = 32        // of one argument or variable
	leastAll  = 128 << 10 // bytes of all together, whatever the limit of the stack
	mostAll   = 6 << 20
	pointer   = 8 // of each
)

// CheckExec says which argument or variable is larger than a program can be given, or that all are together. In docker
// mode the limit of the stack is taken to be that of this process. env is in the form NAME=value.
func CheckExec(entrypoint, args, env []string) error {
	most := textPages * os.Getpagesize()
	total, largest, largestSize := 0, "", 0
	count := func(key, text string) error {
		n := len(text) + 1 // a zero byte ends it
		if n > most {
			const form = "%s has %d bytes; a program takes at most %d in one text: put it in a file of a volume, " +
				"and give its path"
			return fmt.Errorf(form, key, n-1, most-1)
		}
		if total += n + pointer; n > largestSize {
			largest, largestSize = key, n
		}
		return nil
	}
	for _, list := range []struct {
		key   string
		texts []string
	}{{"entrypoint", entrypoint}, {"args", args}} {
		for i, a := range list.texts {
			if err := count(fmt.Sprintf("%s[%d]", list.key, i), a); err != nil {
				return err
			}
		}
	}
	for _, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		if err := count("env."+name, kv); err != nil {
			return err
		}
	}
	if all := limitOfAll(); total > all {
		const form = "args and env have %d bytes together, the largest is %s; a program takes at most %d: " +
			"put what is large in files of a volume, and give their paths"
		return fmt.Errorf(form, total, largest, all)
	}
	return nil
}

// limitOfAll is a quarter of the limit of the stack, within the kernel's bounds.
func limitOfAll() int {
	var stack syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_STACK, &stack); err != nil {
		return mostAll
	}
	return int(max(min(stack.Cur/4, mostAll), leastAll))
}
