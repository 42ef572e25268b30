package main

import (
	"io"
	"os"

	"github.com/baetyl/baetyl/baetyl-agent/agent"
	"github.com/baetyl/baetyl/baetyl-function-manager/manager"
	"github.com/baetyl/baetyl/baetyl-function-sql/sql"
	"github.com/baetyl/baetyl/baetyl-hub/hub"
	"github.com/baetyl/baetyl/baetyl-remote-mqtt/remote"
	"github.com/baetyl/baetyl/baetyl-timer/timer"
	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
)

// module is what the main.go of a module runs.
type module struct {
	main    func(baetyl.Context) error
	command func(args []string, stdin io.Reader, stdout, stderr io.Writer) int // with arguments; nil: it has none
}

// modules are those that this program is too, so that a device holds the text of all of them once, in its memory and on
// its disk. Each is also a program of its own, in the folder of its name, for images and for updates of it alone.
var modules = map[string]module{
	"baetyl-agent":            {main: agent.Main},
	"baetyl-function-manager": {main: manager.Main},
	"baetyl-function-sql":     {main: sql.Main, command: sql.Command},
	"baetyl-hub":              {main: hub.Main},
	"baetyl-remote-mqtt":      {main: remote.Main},
	"baetyl-timer":            {main: timer.Main},
}

// runModule is the module that the arguments name, as the package.yml of a package without a program of its own has
// them: module NAME. argv[0] cannot name it, since that is the name of the instance. The module sees the arguments
// behind them. false: this is another command.
func runModule() bool {
	if len(os.Args) < 3 || os.Args[1] != "module" {
		return false
	}
	m, ok := modules[os.Args[2]]
	if !ok {
		return false
	}
	os.Args = append(os.Args[:1:1], os.Args[3:]...)
	if m.command != nil && len(os.Args) > 1 {
		os.Exit(m.command(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	baetyl.Run(m.main)
	return true
}
