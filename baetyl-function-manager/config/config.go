// Package config is the configuration of the function manager: its keys, their defaults and what can be wrong with them
// ("baetyl-function-manager Configuration").
//
//	rules:      message ─► function ─► result
//	functions:  which service runs a function, in how many instances
//	server:     the gRPC front door, off without an address
//
// The documents indent message, backoff and timeout of a function below instance, the program of 2019 read them beside it:
// both places are read, the one beside instance wins. Nothing here opens anything.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

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
}

// Message is the limit of the hub that results go to.
type Message struct {
	Length struct {
		Max conf.Size `yaml:"max" json:"max" default:"32k" validate:"min=256"` // largest packet that the hub takes: its message.length.max
	} `yaml:"length" json:"length"`
}

// Metrics says where the numbers of the manager go.
type Metrics struct {
	Address string `yaml:"address" json:"address"` // host:port of the Prometheus page /metrics; empty: none
	Report  struct {
		Interval time.Duration `yaml:"interval" json:"interval" default:"1m"` // of the report to the master
	} `yaml:"report" json:"report"`
}

// Rule sends the messages of one subscription through a function.
type Rule struct {
	ClientID  string         `yaml:"clientid" json:"clientid"` // that of `hub` when empty
	SampleID  string         `yaml:"clientId" json:"clientId"` // the same, as one rendering of the documents' samples spells it
	Subscribe mqtt.TopicInfo `yaml:"subscribe" json:"subscribe"`
	Function  struct {
		Name string `yaml:"name" json:"name" validate:"nonzero"`
	} `yaml:"function" json:"function"`
	Publish    mqtt.TopicInfo `yaml:"publish" json:"publish"`
	DeadLetter DeadLetter     `yaml:"deadletter" json:"deadletter"`
	Retry      struct {
		Max int `yaml:"max" json:"max" default:"3" validate:"min=1, max=1000"` // attempts in all; 1: no retry
	} `yaml:"retry" json:"retry"`
}

// DeadLetter is where the errors of messages go that no attempt could handle. Without a topic they go where results go.
type DeadLetter struct {
	Topic string `yaml:"topic" json:"topic"`
	QOS   uint32 `yaml:"qos" json:"qos" validate:"max=1"`
}

// Function is a function with the service that runs it. After Validate, Message, Backoff and Timeout are filled in.
type Function struct {
	Name     string        `yaml:"name" json:"name" validate:"nonzero"`
	Service  string        `yaml:"service" json:"service" validate:"nonzero"`
	Instance Instance      `yaml:"instance" json:"instance"`
	Message  Limits        `yaml:"message" json:"message"`
	Backoff  Backoff       `yaml:"backoff" json:"backoff"`
	Timeout  time.Duration `yaml:"timeout" json:"timeout"` // of the connection to a started instance, and of each call; 30s
	Order    Order         `yaml:"order" json:"order"`
}

// Instance says how many instances a function has.
type Instance struct {
	Min       int           `yaml:"min" json:"min" default:"0" validate:"min=0, max=100"`
	Max       int           `yaml:"max" json:"max" default:"1" validate:"min=1, max=100"`
	IdleTime  time.Duration `yaml:"idletime" json:"idletime" default:"10m"`  // after which an unused instance is stopped
	EvictTime time.Duration `yaml:"evicttime" json:"evicttime" default:"1m"` // between two looks for unused instances

	Concurrency int `yaml:"concurrency" json:"concurrency" validate:"min=0, max=1000"` // calls at once of one instance; 0: what its runtime wants

	Message Limits        `yaml:"message" json:"message"` // as the documents indent it
	Backoff Backoff       `yaml:"backoff" json:"backoff"`
	Timeout time.Duration `yaml:"timeout" json:"timeout"`
}

// Limits of one message to and from an instance.
type Limits struct {
	Length struct {
		Max conf.Size `yaml:"max" json:"max"` // 4m
	} `yaml:"length" json:"length"`
	Backoff Backoff `yaml:"backoff" json:"backoff"` // as the documents indent it
}

// Backoff limits the delay between attempts to connect to an instance.
type Backoff struct {
	Max time.Duration `yaml:"max" json:"max"` // 1m
}

// Order says which messages of a rule are handled one after the other although the function has several instances.
type Order struct {
	Key string `yaml:"key" json:"key"` // topic, or a path into the JSON payload: device.id, items[0]; empty: no order
}

// Validate checks what spans several keys and merges the places that a key may have.
func (c *Config) Validate() error {
	known := map[string]int{}
	for i := range c.Functions {
		f, at := &c.Functions[i], fmt.Sprintf("functions[%d]", i)
		if j, ok := known[f.Name]; ok {
			return fmt.Errorf("%s.name: %q is the name of functions[%d] too; names must be unique", at, f.Name, j)
		}
		known[f.Name] = i
		if err := f.check(); err != nil {
			return fmt.Errorf("%s.%w", at, err)
		}
		f.merge()
	}
	for i, r := range c.Rules {
		at := fmt.Sprintf("rules[%d]", i)
		if err := r.check(); err != nil {
			return fmt.Errorf("%s.%w", at, err)
		}
		if _, ok := known[r.Function.Name]; !ok {
			return fmt.Errorf("%s.function.name: function (%s) not found; functions has %s", at, r.Function.Name, names(c.Functions))
		}
	}
	if c.Metrics.Report.Interval <= 0 {
		return fmt.Errorf("metrics.report.interval: %s is not more than 0s", c.Metrics.Report.Interval)
	}
	return nil
}

func (f *Function) check() error {
	if f.Instance.Min > f.Instance.Max {
		return fmt.Errorf("instance.min: %d is more than instance.max, which is %d", f.Instance.Min, f.Instance.Max)
	}
	for key, d := range map[string]time.Duration{"instance.idletime": f.Instance.IdleTime, "timeout": f.Timeout, "instance.timeout": f.Instance.Timeout,
		"backoff.max": f.Backoff.Max, "message.backoff.max": f.Message.Backoff.Max, "instance.backoff.max": f.Instance.Backoff.Max,
		"instance.message.backoff.max": f.Instance.Message.Backoff.Max} {
		if d < 0 {
			return fmt.Errorf("%s: %s is less than 0s", key, d)
		}
	}
	if f.Instance.EvictTime <= 0 {
		return fmt.Errorf("instance.evicttime: %s is not more than 0s", f.Instance.EvictTime)
	}
	if _, err := ParseOrder(f.Order.Key); err != nil {
		return fmt.Errorf("order.key: %w", err)
	}
	return nil
}

func (f *Function) merge() {
	first := func(values ...time.Duration) time.Duration {
		for _, v := range values {
			if v > 0 {
				return v
			}
		}
		return 0
	}
	f.Timeout = first(f.Timeout, f.Instance.Timeout, 30*time.Second)
	f.Backoff.Max = first(f.Backoff.Max, f.Message.Backoff.Max, f.Instance.Backoff.Max, f.Instance.Message.Backoff.Max, time.Minute)
	for _, v := range []conf.Size{f.Instance.Message.Length.Max, 4 << 20} {
		if f.Message.Length.Max == 0 {
			f.Message.Length.Max = v
		}
	}
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
		err = errors.New("the hub keeps topics that start with $ to itself")
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

// ClientIDs returns the MQTT client id of each rule. Two rules with the same id would end each other's connection for ever.
func (c *Config) ClientIDs(hub mqtt.ClientInfo) ([]string, error) {
	ids, owner := make([]string, len(c.Rules)), map[string]int{}
	for i, r := range c.Rules {
		ids[i] = cmp.Or(r.ClientID, r.SampleID)
		if ids[i] == "" {
			ids[i] = hub.ClientID
		}
		if ids[i] == "" {
			if !hub.CleanSession {
				return nil, fmt.Errorf("rules[%d].clientid: is empty, as is hub.clientid; set one of them", i)
			}
			continue
		}
		if j, ok := owner[ids[i]]; ok {
			return nil, fmt.Errorf("rules[%d].clientid: %q is the client id of rules[%d] too; give each rule its own", i, ids[i], j)
		}
		owner[ids[i]] = i
	}
	return ids, nil
}
