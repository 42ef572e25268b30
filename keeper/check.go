//go:build unix

package keeper

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"
)

// check lets program read a copy of the state, and calls done in the loop.
func (k *supervisor) check(program string, done func(error)) {
	state, err := k.save(false).file()
	if err != nil {
		k.after(0, func() { done(fmt.Errorf("save state: %w", err)) })
		return
	}
	r, w, err := pipe()
	if err != nil {
		_ = syscall.Close(state)
		k.after(0, func() { done(err) })
		return
	}
	f := fork{
		path: program, args: []string{CheckName, "start"}, env: append(environ(), envCheck+"=1"), dir: "/",
	}
	for range 3 {
		null, err := syscall.Open(os.DevNull, syscall.O_RDWR|syscall.O_CLOEXEC, 0)
		if err == nil {
			f.files = append(f.files, uintptr(null))
		}
	}
	f.files = append(f.files, uintptr(state), uintptr(w))
	started := func(pid int, err error) {
		if err != nil {
			_ = r.Close()
			done(fmt.Errorf("start %s: %w", program, err))
			return
		}
		k.helpers[pid] = func(syscall.WaitStatus) {}
		go func() { // ends after checkLimit
			err := answerOf(r)
			k.post(func() {
				if k.helpers[pid] != nil {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
				done(err)
			})
		}()
	}
	if !k.fork(f, started) {
		_ = r.Close()
		k.after(0, func() { done(syscall.EAGAIN) })
	}
}

// answerOf reads what a program says of the state.
func answerOf(r *os.File) error {
	defer r.Close()
	_ = r.SetReadDeadline(time.Now().Add(checkLimit))
	text, err := io.ReadAll(io.LimitReader(r, maxExplanation))
	switch said := strings.TrimSpace(string(text)); {
	case said == answerOK:
		return nil
	case said != "":
		return errors.New(said)
	case err != nil:
		return fmt.Errorf("read what it says: %w", err)
	}
	return errors.New("it cannot read the state of this keeper")
}

// answerCheck is the other side. It ends the program.
func answerCheck() {
	syscall.CloseOnExec(3)
	text, err := readState(3)
	if err == nil {
		_, err = decodeState(text)
	}
	said, status := answerOK, 0
	if err != nil {
		said, status = err.Error(), 1
	}
	_, _ = io.WriteString(os.NewFile(4, "to keeper"), said)
	os.Exit(status)
}
