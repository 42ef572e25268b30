package config

import (
	"fmt"

	"github.com/baetyl/baetyl/baetyl-hub/budget"
	"github.com/baetyl/baetyl/utils/conf"
)

// Budget bounds what clients can make the hub hold. 0 is the default: see Plan.
type Budget struct {
	Memory        conf.Size `yaml:"memory" json:"memory"` // of the whole process
	budget.Totals `yaml:",inline" json:",inline"`
	Principal     budget.Limits `yaml:"principal" json:"principal"` // of each; principals[].limits override it
	Client        struct {
		Publish budget.Rate   `yaml:"publish" json:"publish"`
		Queued  budget.Queued `yaml:"queued" json:"queued"`
	} `yaml:"client" json:"client"`
}

// Plan is what may be used of everything, with all defaults.
type Plan struct {
	Memory      int64 // bytes of the process
	Connections int   // connection.max, or fewer where the memory has no room for more
	Hub         budget.Values
	Principal   budget.Values // of each that has no limits of its own
	Client      budget.Values // of each: Memory and Disk only
}

// What the process takes in bytes, apart from what the accounts count.
const (
	// base is the program, the database of the store, buffers of the log and of readers, and some retained messages.
	base = 40 << 20
	// connectionSize is a connection with its session, four subscriptions and budget.Allowance.
	connectionSize = 8<<10 + budget.Allowance
	// subscriptionSize and retainedSize are what the memory of one is without its payload.
	subscriptionSize = 1 << 10
	retainedSize     = 512
	// packets is how many of the largest packets must have room: so many that leastPackets have it in queued.memory.
	packets = 3 * leastPackets
	// leastPackets is how many of the largest packets an account must have room for: an eighth of it is for publishing,
	// and has room for a packet and its copy. clientPackets is the same for what one client may have.
	leastPackets  = 16
	clientPackets = 4
	// fewest is the number of connections for which there is always room.
	fewest = 100
)

// The largest defaults, on a machine with much memory.
const (
	mostSubscriptions = 600_000 // of the hub; a quarter of a principal
	mostRetained      = 200_000
	mostSessions      = 4000      // of a principal
	mostPrincipal     = 256 << 20 // bytes in memory
	mostClient        = 64 << 20  // bytes in memory
)

// floor is the least memory in bytes for a number of connections.
func (c *Config) floor(connections int) int64 {
	return base + int64(connections)*connectionSize + packets*int64(c.Message.Length.Max)
}

// checkLimits compares what is set with what the process needs.
func (c *Config) checkLimits() error {
	if floor := c.floor(c.Connection.Max); c.Budget.Memory > 0 && int64(c.Budget.Memory) < floor {
		return fmt.Errorf("limits.memory: %s is less than %dm, the least for connection.max %d and message.length.max %s; "+
			"set it to %[2]dm or more, or lower connection.max", c.Budget.Memory, (floor+1<<20-1)>>20, c.Connection.Max,
			c.Message.Length.Max)
	}
	b := &c.Budget
	if err := c.checkQueued("limits", b.Queued, leastPackets); err != nil {
		return err
	}
	if err := c.checkQueued("limits.principal", b.Principal.Queued, leastPackets); err != nil {
		return err
	}
	for i, p := range c.Principals {
		if err := c.checkQueued(fmt.Sprintf("principals[%d].limits", i), p.Limits.Queued, leastPackets); err != nil {
			return err
		}
	}
	return c.checkQueued("limits.client", b.Client.Queued, clientPackets)
}

// checkQueued refuses a limit with which a large packet would wait for ever.
func (c *Config) checkQueued(key string, q budget.Queued, packets conf.Size) error {
	if least := packets * c.Message.Length.Max; q.Memory > 0 && q.Memory < least {
		return fmt.Errorf("%s.queued.memory: %s is less than %d times message.length.max (%s); set it to %s or more, or "+
			"lower message.length.max", key, q.Memory, packets, c.Message.Length.Max, least)
	}
	return nil
}

// Plan computes what may be used. machine is the memory in bytes that the machine, or the control group of the process,
// has. disk is how many bytes the file system of the store has for it. Either is 0 where it is not known.
func (c *Config) Plan(machine, disk int64) Plan {
	p := Plan{Memory: int64(c.Budget.Memory), Connections: c.Connection.Max}
	switch {
	case p.Memory > 0:
	case machine > 0:
		p.Memory = max(machine/2, c.floor(min(fewest, p.Connections)))
		p.Connections = min(p.Connections, int((p.Memory-c.floor(0))/connectionSize))
	default:
		p.Memory = c.floor(p.Connections) + 512<<20
	}
	// The collector needs room besides what is in use: a third.
	usable := (p.Memory - base - int64(p.Connections)*connectionSize) / 3 * 2
	packet := int64(c.Message.Length.Max)
	hub := budget.Values{
		budget.Sessions:      int64(p.Connections),
		budget.Subscriptions: min(mostSubscriptions, int64(p.Connections)*4+usable/8/subscriptionSize),
		budget.Retained:      min(mostRetained, 20_000+usable/8/retainedSize),
		budget.RetainedBytes: max(usable/4, packet),
		budget.Memory:        max(usable/2, leastPackets*packet),
		budget.Disk:          int64(c.Storage.Max),
	}
	if c.Storage.Max > 0 { // they are on the disk too
		hub[budget.RetainedBytes] = max(min(hub[budget.RetainedBytes], int64(c.Storage.Max)/8), packet)
	}
	p.Hub = budget.Limits{Totals: c.Budget.Totals}.Or(hub)
	p.Principal = c.Budget.Principal.Or(c.share(p.Hub, p.Connections, disk))
	p.Client = budget.Limits{Totals: budget.Totals{Queued: c.Budget.Client.Queued}}.Or(budget.Values{
		budget.Memory: max(min(p.Principal[budget.Memory]/4, mostClient), clientPackets*packet),
	})
	return p
}

// share is what a principal may have of the hub's limits.
func (c *Config) share(hub budget.Values, connections int, disk int64) budget.Values {
	packet := int64(c.Message.Length.Max)
	v := budget.Values{
		budget.Connections: int64(connections),
		budget.Memory:      max(min(hub[budget.Memory]/2, mostPrincipal), leastPackets*packet),
	}
	if hub[budget.Disk] == 0 {
		hub[budget.Disk] = disk
	}
	for _, r := range []budget.Resource{
		budget.Sessions, budget.Subscriptions, budget.Retained, budget.RetainedBytes, budget.Disk,
	} {
		v[r] = hub[r]
		if len(c.Principals) > 1 { // one that is alone has nobody to leave something to
			v[r] = max(1, hub[r]/4*3)
		}
	}
	if len(c.Principals) <= 1 {
		v[budget.Disk] = 0
	}
	v[budget.Sessions] = min(v[budget.Sessions], mostSessions)
	v[budget.Subscriptions] = min(v[budget.Subscriptions], mostSubscriptions/4)
	return v
}
