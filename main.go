// Command baetyl runs the services of an application on an edge device. `baetyl start` is the keeper, which runs this
// program again as the master, and `baetyl module NAME` is one of the modules (modules.go).
package main

import (
	"os"

	_ "github.com/baetyl/baetyl/keeper/early"                      // baetyl start is the keeper
	_ "github.com/baetyl/baetyl/master/engine/native/launch/early" // a service's process starts as this program

	"github.com/baetyl/baetyl/cmd"
)

func main() {
	if runModule() {
		return
	}
	os.Exit(cmd.Main())
}
