// Command baetyl-timer publishes a message to the hub on an interval. The package timer is its code and says what it
// reads.
package main

import (
	"github.com/baetyl/baetyl/baetyl-timer/timer"
	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
)

func main() { baetyl.Run(timer.Main) }
