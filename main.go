// Command baetyl is the master: it runs the services of an application on an edge device.
package main

import (
	"os"

	_ "github.com/baetyl/baetyl/master/engine/native/launch/early" // a service's process starts as this program

	"github.com/baetyl/baetyl/cmd"
)

func main() { os.Exit(cmd.Main()) }
