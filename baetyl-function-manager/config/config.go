// Package config is the configuration of the function manager: its keys, their defaults and what can be wrong with them
// ("baetyl-function-manager Configuration").
//
//	rules:      message ─► function ─► result
//	functions:  which service runs a function, in how many instances
//	server:     the gRPC server, which calls functions by name; off without an address
//
// The documentation puts message, backoff and timeout of a function below instance; Baetyl 0.1.x read them beside it.
// Both places are read, the one beside instance wins.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/baetyl/baetyl/protocol/admin"
	"github.com/baetyl/baetyl/protocol/mqtt"
	rpc "github.com/baetyl/baetyl/sdk/baetyl-go/function"
	"github.com/baetyl/baetyl/utils/conf"
)

// Config is service.yml without `hub` and `logger`.
type Config struct {
	Rules     []Rule           `yaml:"rules" json:"rules"`
	Functions []Function       `yaml:"functions" json:"functions"`
	Server    rpc.ServerConfig `yaml:"server" json:"server"`
	Message   Message          `yaml:"message" json:"message"`
	Metrics   Metrics          `yaml:"metrics" json:"metrics"`
	Admin     admin.Config     `yaml:"admin" json:"admin"`
}

// Message is the limit of the hub that results go to, and that of messages that wait here.
type Message struct {
	Length struct {
		// largest packet that the hub takes: its message.length.max
		Max conf.Size `yaml:"max" json:"max" default:"32k" validate:"min=256"`
	} `yaml:"length" json:"length"`
	Waiting struct {
		// bytes of messages that have come and are not finished, of all rules, each with 256 bytes more than its topic and
		// payload
		Max conf.Size `yaml:"max" json:"max" default:"64m" validate:"min=64k, max=1g"`
	} `yaml:"waiting" json:"waiting"`
}

// Metrics says where the numbers of the manager go.
type Metrics struct {
	admin.Metrics `yaml:",inline" json:",inline"`
	Report        struct {
		Interval time.Duration `yaml:"interval" json:"interval" default:"1m" validate:"min=1"` // of the report to the master
	} `yaml:"report" json:"report"`
}

// Rule sends the messages of one subscription through a function.
type Rule struct {
	ClientID string `yaml:"clientid" json:"clientid" derived:"hub.clientid"`
	// as samples in the documentation spell it
	SampleID  string         `yaml:"clientId" json:"clientId" legacy:"rules[].clientid"`
	Subscribe mqtt.TopicInfo `yaml:"subscribe" json:"subscribe"`
	Function  struct {
		Name string `yaml:"name" json:"name" validate:"nonzero"`
	} `yaml:"function" json:"function"`
	Publish    mqtt.TopicInfo `yaml:"publish" json:"publish"`
	DeadLetter DeadLetter     `yaml:"deadletter" json:"deadletter"`
	// the rule may get back what it publishes; otherwise that is an error
	Feedback bool `yaml:"feedback" json:"feedback"`
	Retry    struct {
		Max int `yaml:"max" json:"max" default:"3" validate:"min=1, max=1000"` // attempts in all; 1: no retry
	} `yaml:"retry" json:"retry"`
}

// DeadLetter is where the errors of messages go that no attempt could handle. Without a topic they go where results go.
type DeadLetter struct {
	Topic string `yaml:"topic" json:"topic"`
	QOS   uint32 `yaml:"qos" json:"qos" validate:"oneof=0|1"`
}

// Function is a function with the service that runs it. The defaults of Message, Backoff and Timeout are in Instance;
// Complete copies them.
type Function struct {
	Name     string   `yaml:"name" json:"name" validate:"nonzero"`
	Service  string   `yaml:"service" json:"service" validate:"nonzero"`
	Instance Instance `yaml:"instance" json:"instance"`
	Message  Limits   `yaml:"message" json:"message"`
	Backoff  Backoff  `yaml:"backoff" json:"backoff"`
	// limit of the connection to a started instance, and of each call
	Timeout time.Duration `yaml:"timeout" json:"timeout" validate:"min=0s" derived:"functions[].instance.timeout"`
	Order   Order         `yaml:"order" json:"order"`
}

// Instance says how many instances a function has.
type Instance struct {
	Min int `yaml:"min" json:"min" default:"0" validate:"min=0, max=100"`
	Max int `yaml:"max" json:"max" default:"1" validate:"min=1, max=100"`
	// after which an unused instance is stopped
	IdleTime time.Duration `yaml:"idletime" json:"idletime" default:"10m" validate:"min=0s"`
	// between two searches for unused instances
	EvictTime time.Duration `yaml:"evicttime" json:"evicttime" default:"1m" validate:"min=1"`

	// calls at once of one instance; 0: what its runtime wants
	Concurrency int `yaml:"concurrency" json:"concurrency" validate:"min=0, max=1000"`

	// from the start of an instance until it takes calls; 0: 30s, or Timeout if that is longer
	StartTimeout time.Duration `yaml:"starttimeout" json:"starttimeout" validate:"min=0s" derived:"functions[].timeout"`

	Message InstanceLimits `yaml:"message" json:"message" legacy:"functions[].message"`
	Backoff Backoff        `yaml:"backoff" json:"backoff" legacy:"functions[].backoff"`
	Timeout time.Duration  `yaml:"timeout" default:"30s" zero:"default" validate:"min=0s" legacy:"functions[].timeout"`
}

// InstanceLimits are Limits below instance, where their defaults are.
type InstanceLimits struct {
	Length struct {
		Max conf.Size `yaml:"max" json:"max" default:"4m" zero:"default"`
	} `yaml:"length" json:"length"`
	Backoff struct {
		Max time.Duration `yaml:"max" json:"max" default:"1m" zero:"default" validate:"min=0s"`
	} `yaml:"backoff" json:"backoff" legacy:"functions[].backoff"`
}

// Limits of one message to and from an instance.
type Limits struct {
	Length struct {
		Max conf.Size `yaml:"max" json:"max" derived:"functions[].instance.message.length.max"`
	} `yaml:"length" json:"length"`
	Backoff Backoff `yaml:"backoff" json:"backoff" legacy:"functions[].backoff"` // where the documentation has it
}

// Backoff limits the delay between attempts to connect to an instance.
type Backoff struct {
	Max time.Duration `yaml:"max" json:"max" validate:"min=0s" derived:"functions[].instance.message.backoff.max"`
}

// Order says which messages of a rule are handled one after the other although the function has several instances.
type Order struct {
	Key string `yaml:"key" json:"key"` // topic, or a path into the JSON payload: device.id, items[0]; empty: no order
}

// startTimeout is Instance.StartTimeout where nothing says more: a runtime that loads many libraries is slow on small
// devices, and Timeout was its limit before there was that key.
const startTimeout = 30 * time.Second

// Complete copies each key that has several places to its main place: rules[].clientid, and those of Function beside
// instance. The first place that is set wins.
func (c *Config) Complete() {
	for i := range c.Rules {
		c.Rules[i].ClientID = cmp.Or(c.Rules[i].ClientID, c.Rules[i].SampleID)
	}
	for i := range c.Functions {
		f := &c.Functions[i]
		in := f.Instance
		f.Timeout = cmp.Or(f.Timeout, in.Timeout)
		f.Instance.StartTimeout = cmp.Or(in.StartTimeout, max(startTimeout, f.Timeout))
		f.Message.Length.Max = cmp.Or(f.Message.Length.Max, in.Message.Length.Max)
		f.Backoff.Max = cmp.Or(f.Backoff.Max, f.Message.Backoff.Max, in.Backoff.Max, in.Message.Backoff.Max)
	}
}

// Validate checks rules that span several keys. Its errors begin with the key.
func (c *Config) Validate() error {
	known := map[string]int{}
	for i, f := range c.Functions {
		at := fmt.Sprintf("functions[%d]", i)
		if j, ok := known[f.Name]; ok {
			return fmt.Errorf("%s.name: %q is the name of functions[%d] too; names must be unique", at, f.Name, j)
		}
		known[f.Name] = i
		if err := f.check(); err != nil {
			return fmt.Errorf("%s.%w", at, err)
		}
	}
	for i, r := range c.Rules {
		at := fmt.Sprintf("rules[%d]", i)
		if err := r.check(); err != nil {
			return fmt.Errorf("%s.%w", at, err)
		}
		if _, ok := known[r.Function.Name]; !ok {
			list := names(c.Functions)
			return fmt.Errorf("%s.function.name: function (%s) not found; functions has %s", at, r.Function.Name, list)
		}
	}
	if err := rings(c.Rules); err != nil {
		return err
	}
	if c.Server.Address != "" {
		if err := c.Server.Validate(); err != nil {
			return fmt.Errorf("server.%w", err)
		}
	}
	if err := c.Metrics.Check(); err != nil {
		return err
	}
	return c.Admin.Check()
}

func (f Function) check() error {
	if f.Instance.Min > f.Instance.Max {
		const text = "instance.min: %d is more than instance.max, which is %d; lower it or raise that"
		return fmt.Errorf(text, f.Instance.Min, f.Instance.Max)
	}
	if _, err := ParseOrder(f.Order.Key); err != nil {
		return fmt.Errorf("order.key: %w", err)
	}
	return nil
}

func (r Rule) check() error {
	if err := inHub(r.Subscribe.Topic, mqtt.CheckFilter); err != nil {
		return fmt.Errorf("subscribe.topic: %w", err)
	}
	if err := inHub(r.Publish.Topic, mqtt.CheckTopic); err != nil {
		return fmt.Errorf("publish.topic: %w", err)
	}
	if r.DeadLetter.Topic == "" {
		return nil
	}
	if err := inHub(r.DeadLetter.Topic, mqtt.CheckTopic); err != nil {
		return fmt.Errorf("deadletter.topic: %w", err)
	}
	return nil
}

// inHub adds the documented limits of the hub's topics to those of MQTT.
func inHub(topic string, check func(string) error) error {
	err := check(topic)
	switch {
	case err != nil:
	case strings.HasPrefix(topic, "$"):
		err = errors.New("functions take no topics that start with $")
	case len(topic) > 255:
		err = errors.New("is longer than 255 bytes, the limit of the hub")
	case strings.Count(topic, "/") > 8:
		err = errors.New("has more than 8 slashes, the limit of the hub")
	}
	if err != nil {
		return fmt.Errorf("%q: %w", topic, err)
	}
	return nil
}

func names(functions []Function) string {
	if len(functions) == 0 {
		return "no entry"
	}
	var out []string
	for _, f := range functions {
		out = append(out, f.Name)
	}
	return strings.Join(out, ", ")
}

// ClientIDs returns the MQTT client id of each rule; hub is the section hub of the configuration. It returns an error
// for two rules with the same id: the hub would close one connection whenever the other one is opened.
func (c *Config) ClientIDs(hub mqtt.ClientInfo) ([]string, error) {
	ids, owner := make([]string, len(c.Rules)), map[string]int{}
	for i, r := range c.Rules {
		ids[i] = cmp.Or(r.ClientID, hub.ClientID)
		if ids[i] == "" {
			if !hub.CleanSession {
				return nil, fmt.Errorf("rules[%d].clientid: is empty, as is hub.clientid; set one of them", i)
			}
			continue
		}
		if j, ok := owner[ids[i]]; ok {
			const text = "rules[%d].clientid: %q is the client id of rules[%d] too; give each rule its own"
			return nil, fmt.Errorf(text, i, ids[i], j)
		}
		owner[ids[i]] = i
	}
	return ids, nil
}
