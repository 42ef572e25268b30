package main

import (
	"errors"
	"flag"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

const (
	announceInterval = 200 * time.Millisecond // between two checks
	announceQuiet    = 2 * time.Second        // no line in the log for so long counts as started
	announceLimit    = 20 * time.Second       // after the hub listens, a log that is never quiet is not waited for longer
)

// announce prints the text of its input once the address answers and the log has become quiet, so that it is the last
// thing on the console of a master that has just started. It ends with the process pid in any case: it leaves nothing
// behind.
func announce(args []string, out io.Writer) error {
	fset := flag.NewFlagSet("announce", flag.ContinueOnError)
	pid := fset.Int("pid", 0, "end with this process")
	address := fset.String("address", "", "host:port that answers when the hub is up")
	log := fset.String("log", "", "file that is quiet when the start is over")
	if _, err := flags(fset, args); err != nil {
		return err
	}
	if *pid <= 0 || *address == "" || *log == "" {
		return errors.New("-pid, -address and -log are needed")
	}
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	if !poll(*pid, func() bool { return answers(*address) }) {
		return nil
	}
	deadline := time.Now().Add(announceLimit)
	if !poll(*pid, func() bool { return quiet(*log) || time.Now().After(deadline) }) {
		return nil
	}
	_, err = out.Write(text)
	return err
}

// poll returns true as soon as done does, false when the process is gone first.
func poll(pid int, done func() bool) bool {
	for ; syscall.Kill(pid, 0) == nil; time.Sleep(announceInterval) {
		if done() {
			return true
		}
	}
	return false
}

func answers(address string) bool {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// quiet tells whether nothing was written to the file for a while.
func quiet(path string) bool {
	info, err := os.Stat(path)
	return err == nil && time.Since(info.ModTime()) > announceQuiet
}
