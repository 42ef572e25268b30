// Package config is the configuration of the bridge: its keys, their defaults and what can be wrong with them
// ("baetyl-remote-mqtt Configuration").
//
//	hub:      the near side, one for all
//	remotes:  the far sides
//	rules:    which topics go from the hub to a remote, and back
//
// Plan makes of it what runs: two clients for each rule, with the topics of each direction. It refuses what would go
// round for ever. Nothing here opens anything but certificate files.
package config

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/baetyl/baetyl/protocol/admin"
	"github.com/baetyl/baetyl/protocol/mqtt"
	"github.com/baetyl/baetyl/utils/conf"
)

// Config is service.yml without `hub` and `logger`.
type Config struct {
	// starts the client ids that are not given
	Name       string      `yaml:"name" json:"name" derived:"name of the service instance"`
	Rules      []Rule      `yaml:"rules" json:"rules"`
	Remotes    []Remote    `yaml:"remotes" json:"remotes"`
	DeadLetter *DeadLetter `yaml:"deadletter" json:"deadletter"` // nil: not given; see DeadLetters
	Park       *DeadLetter `yaml:"park" json:"park"`             // the name of deadletter before; read for ever
	Metrics    Metrics     `yaml:"metrics" json:"metrics"`
	// interface for persons, with the numbers for the master
	Admin admin.Config `yaml:"admin" json:"admin"`
}

// Remote is a far broker.
type Remote struct {
	Name            string `yaml:"name" json:"name" validate:"nonzero"`
	mqtt.ClientInfo `yaml:",inline"`
}

// Rule joins the hub and one remote. It has a connection of its own to each.
type Rule struct {
	Hub    Hub `yaml:"hub" json:"hub"`
	Remote Far `yaml:"remote" json:"remote"`
}

// Hub is the near side of a rule.
type Hub struct {
	ClientID      string         `yaml:"clientid" json:"clientid"`
	Subscriptions []Subscription `yaml:"subscriptions" json:"subscriptions"` // go to the remote
}

// Far is the far side of a rule.
type Far struct {
	Name          string         `yaml:"name" json:"name" validate:"nonzero"`
	ClientID      string         `yaml:"clientid" json:"clientid"`
	Subscriptions []Subscription `yaml:"subscriptions" json:"subscriptions"` // go to the hub
	Will          Will           `yaml:"will" json:"will"`
}

// Will is what the remote publishes when the connection of the rule breaks. Without a topic there is none.
type Will struct {
	Topic   string `yaml:"topic" json:"topic"`
	Payload string `yaml:"payload" json:"payload"`
	QOS     uint32 `yaml:"qos" json:"qos" validate:"oneof=0|1"`
	Retain  bool   `yaml:"retain" json:"retain"`
}

// DeadLetter says what happens to a message that the other side never takes. The name of the folder is older than
// that of the section.
type DeadLetter struct {
	// connections that the peer closes on it
	After int       `yaml:"after" json:"after" default:"3" validate:"min=1, max=1000"`
	Path  string    `yaml:"path" json:"path" default:"var/db/baetyl/parked" validate:"nonzero"` // folder of messages.jsonl
	Size  conf.Size `yaml:"size" json:"size" default:"16m"`                                     // of that file, at most
}

// Metrics says where the numbers of the bridge go.
type Metrics struct {
	admin.Metrics `yaml:",inline" json:",inline"`
	Report        struct { // to the master
		Interval time.Duration `yaml:"interval" json:"interval" default:"1m" validate:"min=1"`
	} `yaml:"report" json:"report"`
}

// DeadLetters returns the section deadletter, whichever name it has in the file, or its defaults.
func (c *Config) DeadLetters() (DeadLetter, error) {
	for _, given := range []*DeadLetter{c.DeadLetter, c.Park} {
		if given != nil {
			return *given, nil
		}
	}
	var d DeadLetter
	return d, conf.SetDefaults(&d)
}

// Validate checks what spans several keys.
func (c *Config) Validate() error {
	remotes := map[string]int{}
	for i, r := range c.Remotes {
		at := fmt.Sprintf("remotes[%d]", i)
		if j, ok := remotes[r.Name]; ok {
			return fmt.Errorf("%s.name: %q is the name of remotes[%d] too; names must be unique", at, r.Name, j)
		}
		remotes[r.Name] = i
		if len(r.Subscriptions) > 0 {
			return fmt.Errorf("%s.subscriptions: belongs to a rule: rules[].remote.subscriptions", at)
		}
	}
	for i, r := range c.Rules {
		at := fmt.Sprintf("rules[%d]", i)
		if _, ok := remotes[r.Remote.Name]; !ok {
			return fmt.Errorf("%s.remote.name: remote (%s) not found; remotes has %s", at, r.Remote.Name, names(c.Remotes))
		}
		if err := r.check(); err != nil {
			return fmt.Errorf("%s.%w", at, err)
		}
	}
	if c.DeadLetter != nil && c.Park != nil {
		return errors.New("park: is the older name of deadletter, which is given too; put its keys there")
	}
	if err := c.Metrics.Check(); err != nil {
		return err
	}
	return c.Admin.Check()
}

func (r Rule) check() error {
	if len(r.Hub.Subscriptions)+len(r.Remote.Subscriptions) == 0 {
		return errors.New("hub.subscriptions: is empty, as is remote.subscriptions; the rule would pass nothing on")
	}
	for _, side := range []struct {
		name string
		subs []Subscription
	}{{"hub", r.Hub.Subscriptions}, {"remote", r.Remote.Subscriptions}} {
		for i, s := range side.subs {
			at := fmt.Sprintf("%s.subscriptions[%d]", side.name, i)
			if err := s.check(); err != nil {
				return fmt.Errorf("%s.%w", at, err)
			}
			for j, o := range side.subs[:i] {
				if _, both := intersect(s.filter(), o.filter()); both && (s.Strip != o.Strip || s.Prefix != o.Prefix) {
					return fmt.Errorf(
						"%s.topic: %s has topics in common with subscriptions[%d] (%s), which changes them in another way",
						at,
						s.Topic,
						j,
						o.Topic,
					)
				}
			}
		}
	}
	if w := r.Remote.Will; w.Topic != "" {
		if err := mqtt.CheckTopic(w.Topic); err != nil {
			return fmt.Errorf("remote.will.topic: %q: %w", w.Topic, err)
		}
	}
	return nil
}

func names(remotes []Remote) string {
	if len(remotes) == 0 {
		return "no entry"
	}
	var out []string
	for _, r := range remotes {
		out = append(out, r.Name)
	}
	return strings.Join(out, ", ")
}
