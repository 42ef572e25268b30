// Command baetyl-agent connects a device with the cloud that manages it: it reports, takes updates, and cleans up
// after them. It reads etc/baetyl/service.yml; docs/agent.md explains its keys.
package main

import (
	"github.com/baetyl/baetyl/baetyl-agent/agent"
	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
)

func main() { baetyl.Run(agent.Main) }
