// Command baetyl-hub is the MQTT broker of Baetyl. The package hub is its code.
package main

import (
	"github.com/baetyl/baetyl/baetyl-hub/hub"
	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
)

func main() { baetyl.Run(hub.Main) }
