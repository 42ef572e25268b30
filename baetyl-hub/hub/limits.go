package hub

import (
	"math"
	"runtime/debug"

	"github.com/baetyl/baetyl/baetyl-hub/config"
	"github.com/baetyl/baetyl/baetyl-hub/core"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
)

// plan computes what clients may use, and says where that is less than what is configured.
func plan(c *config.Config, stored int64, l log.Logger) config.Plan {
	disk := int64(0)
	if free, size, err := file.Space(c.Storage.Dir); err == nil {
		// Not less than an eighth of it all: a disk that is full now may have room later, while these limits stay.
		disk = max(int64(min(free, math.MaxInt64/2))+stored, int64(min(size/8, math.MaxInt64)))
	}
	machine := machineMemory("/")
	p := c.Plan(machine, disk)
	if p.Connections < c.Connection.Max {
		l.Warnf("connection.max is %d, but half of the memory of %dm has room for %d connections: taking these at most; set "+
			"limits.memory, or lower connection.max", c.Connection.Max, machine>>20, p.Connections)
	}
	return p
}

// LimitMemory lets the runtime keep the memory of the process below limits.memory. It is for a process that is a hub
// and nothing else.
func (h *Hub) LimitMemory() {
	debug.SetMemoryLimit(h.plan.Memory)
	h.log.Infof("the process may use %dm of memory (limits.memory)", h.plan.Memory>>20)
}

// Usage returns what the hub and each principal have of what is limited.
func (h *Hub) Usage() []core.Usage { return h.server.Usage() }
