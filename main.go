// Command baetyl runs the services of an application on an edge device. `baetyl start` is the keeper, which runs this
// program again as the master.
package main

import (
	"os"

	"github.com/baetyl/baetyl/cmd"
	_ "github.com/baetyl/baetyl/keeper/early" // before the packages of the master are initialised
)

func main() { os.Exit(cmd.Execute(os.Args[1:], os.Stdout, os.Stderr)) }
