//go:build linux

// The attacker is a service of the test machine that wants more than it may have.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

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
		end := make(chan os.Signal, 1)
		signal.Notify(end, syscall.SIGTERM)
		<-end
	default:
		fmt.Fprintf(os.Stderr, "usage: attacker wait | %s attack… | %s attack…\n", attack.Arg, attack.ArgRoot)
		os.Exit(2)
	}
}
