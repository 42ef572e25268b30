// Command baetyl-remote-mqtt joins the hub and other MQTT brokers: it passes messages of chosen topics on, in both
// directions. It reads etc/baetyl/service.yml; docs/remote-mqtt.md explains its keys.
package main

import (
	"github.com/baetyl/baetyl/baetyl-remote-mqtt/remote"
	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
)

func main() { baetyl.Run(remote.Main) }
