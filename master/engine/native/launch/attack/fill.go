//go:build linux

package attack

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// fork starts n processes that sleep, each in a session of its own, and finds how many there can be. They end with it.
func fork(n string) (string, error) {
	var children []*exec.Cmd
	defer func() {
		for _, c := range children {
			_ = c.Process.Kill()
			_ = c.Wait() // which was killed
		}
	}()
	for i := range number(n) {
		c := exec.Command("/bin/sleep", "600")
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL}
		if err := c.Start(); err != nil {
			return "", fmt.Errorf("after %d: %w", i, err)
		}
		children = append(children, c)
	}
	return n, nil
}

// allocate uses n megabytes of memory. Where it may not, this process is killed.
func allocate(n string) (string, error) {
	var all [][]byte
	for range number(n) {
		part := make([]byte, 1<<20)
		for i := 0; i < len(part); i += 4096 {
			part[i] = 1
		}
		all = append(all, part)
	}
	return fmt.Sprint(len(all)), nil
}

// fill writes a file of some megabytes, "<folder>,<n>", and removes it again. The error says how far it came.
func fill(on string) (string, error) {
	dir, n, _ := strings.Cut(on, ",")
	f, err := os.Create(filepath.Join(dir, "attack"))
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	part := make([]byte, 1<<20)
	for range number(n) {
		if _, err := f.Write(part); err != nil {
			return "", err
		}
	}
	return n, nil
}
