// Command baetyl-function-manager sends MQTT messages through functions and starts the instances that run them. Its
// code is in package manager.
package main

import (
	"github.com/baetyl/baetyl/baetyl-function-manager/manager"
	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
)

func main() { baetyl.Run(manager.Main) }
