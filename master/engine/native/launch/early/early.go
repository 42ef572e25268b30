//go:build unix

// Package early makes the program that imports it a shim, or the warden of a command, when its only argument says so,
// before the packages of that program are initialised: they belong to the master, and cost several milliseconds at
// the start of each service. It is imported for that alone, and imports nothing that other packages bring along.
package early

import (
	"os"

	"github.com/baetyl/baetyl/master/engine/native/launch"
)

func init() {
	if len(os.Args) != 2 {
		return
	}
	switch os.Args[1] {
	case launch.Arg:
		launch.Main()
	case launch.WardenArg:
		launch.Warden()
	}
}
