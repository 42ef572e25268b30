//go:build linux

// The attacker is a service of the test machine that wants more than it may have.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/baetyl/baetyl/master/engine/native/launch/attack"
)

func main() {
	command := ""
	if len(os.Args) > 1 {
		command = os.Args[1]
	}
	switch command {
	case attack.Arg:
		os.Exit(attack.Main(os.Args[2:]))
	case attack.ArgRoot:
		os.Exit(attack.MainAsRoot(os.Args[2:]))
	case "wait":
		wait()
	case "daemons": // five
		for range 5 {
			d := exec.Command("/proc/self/exe", "daemon")
			d.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			if err := d.Start(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
		wait()
	case "daemon":
		signal.Ignore(syscall.SIGTERM, syscall.SIGHUP)
		for {
			time.Sleep(time.Hour)
		}
	default:
		fmt.Fprintf(os.Stderr, "usage: attacker wait | daemons | %s attack… | %s attack…\n", attack.Arg, attack.ArgRoot)
		os.Exit(2)
	}
}

// wait waits for SIGTERM.
func wait() {
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	<-end
}
