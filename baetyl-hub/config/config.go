// Package config is the configuration of the hub, etc/baetyl/service.yml: types, defaults and rules. docs/hub.md
// explains each key.
package config

import (
	"fmt"
	"time"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/auth"
	"github.com/baetyl/baetyl/baetyl-hub/core"
	"github.com/baetyl/baetyl/baetyl-hub/listener"
	"github.com/baetyl/baetyl/protocol/admin"
	"github.com/baetyl/baetyl/utils/addr"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/topic"
)

// Config is the whole configuration of the hub.
type Config struct {
	Listen        []string         `yaml:"listen" json:"listen" validate:"nonzero"`
	Certificate   Certificate      `yaml:"certificate" json:"certificate"`
	Principals    []auth.Principal `yaml:"principals" json:"principals"`
	Subscriptions []Route          `yaml:"subscriptions" json:"subscriptions"`
	Message       Message          `yaml:"message" json:"message"`
	Session       Session          `yaml:"session" json:"session"`
	Connection    Connection       `yaml:"connection" json:"connection"`
	Budget        Budget           `yaml:"limits" json:"limits"`
	Storage       Storage          `yaml:"storage" json:"storage"`
	Metrics       Metrics          `yaml:"metrics" json:"metrics"`
	Admin         admin.Config     `yaml:"admin" json:"admin"`
	Sys           Sys              `yaml:"sys" json:"sys"`
	Status        Status           `yaml:"status" json:"status"`
	Shutdown      Shutdown         `yaml:"shutdown" json:"shutdown"`
	Logger        log.Config       `yaml:"logger" json:"logger"`
}

// Route copies messages of a source filter to a target topic.
type Route struct {
	Source Topic `yaml:"source" json:"source"`
	Target Topic `yaml:"target" json:"target"`
}

// Topic is a topic or filter with a QoS.
type Topic struct {
	Topic string `yaml:"topic" json:"topic" validate:"nonzero"`
	QOS   byte   `yaml:"qos" json:"qos" validate:"oneof=0|1"`
}

// Message has the limits of messages: their size, topics, buffers and age.
type Message struct {
	Length struct {
		Max conf.Size `yaml:"max" json:"max" default:"32k" validate:"min=16, max=268435460"` // whole packet
	} `yaml:"length" json:"length"`
	Topic struct {
		Length int `yaml:"length" json:"length" default:"255" validate:"min=1, max=65535"`
		Levels int `yaml:"levels" json:"levels" default:"8" validate:"min=0, max=1000"` // number of separators '/'
	} `yaml:"topic" json:"topic"`
	Ingress struct {
		QOS0 Buffered `yaml:"qos0" json:"qos0" default:"{\"buffer\":{\"size\":10000}}"`
		QOS1 struct {
			Buffer  Size  `yaml:"buffer" json:"buffer" default:"{\"size\":100}"`
			Batch   Batch `yaml:"batch" json:"batch" default:"{\"max\":50}"`
			Cleanup struct {
				Retention time.Duration `yaml:"retention" json:"retention" default:"48h" validate:"min=1s"`
				Interval  time.Duration `yaml:"interval" json:"interval" default:"1m" validate:"min=1ms"`
			} `yaml:"cleanup" json:"cleanup"`
		} `yaml:"qos1" json:"qos1"`
	} `yaml:"ingress" json:"ingress"`
	Egress struct {
		QOS0 struct {
			Buffer struct {
				Size  int       `yaml:"size" json:"size" default:"10000" validate:"min=1"`
				Bytes conf.Size `yaml:"bytes" json:"bytes" default:"16m" validate:"min=1k"`
			} `yaml:"buffer" json:"buffer"`
		} `yaml:"qos0" json:"qos0"`
		QOS1 struct {
			Buffer struct {
				Size int `yaml:"size" json:"size" default:"100" validate:"min=1, max=65534"`
			} `yaml:"buffer" json:"buffer"`
			Batch struct {
				Max int `yaml:"max" json:"max" default:"50" validate:"min=1, max=10000"`
			} `yaml:"batch" json:"batch"`
			Retry struct {
				Interval time.Duration `yaml:"interval" json:"interval" default:"20s" validate:"min=0s"`
			} `yaml:"retry" json:"retry"`
		} `yaml:"qos1" json:"qos1"`
	} `yaml:"egress" json:"egress"`
	Offset struct {
		Buffer Size  `yaml:"buffer" json:"buffer" default:"{\"size\":10000}"`
		Batch  Batch `yaml:"batch" json:"batch" default:"{\"max\":100}"`
	} `yaml:"offset" json:"offset"`
}

// Buffered is a section with a buffer.
type Buffered struct {
	Buffer Size `yaml:"buffer" json:"buffer"`
}

// Size is a number of messages.
type Size struct {
	Size int `yaml:"size" json:"size" validate:"min=1"`
}

// Batch is a number of messages.
type Batch struct {
	Max int `yaml:"max" json:"max" validate:"min=1"`
}

// Session has the limits of one client.
type Session struct {
	ClientID struct {
		Length int  `yaml:"length" json:"length" default:"128" validate:"min=1, max=65535"`
		Strict bool `yaml:"strict" json:"strict"` // only 0-9 A-Z a-z _ -
	} `yaml:"clientid" json:"clientid"`
	Subscriptions struct {
		Max int `yaml:"max" json:"max" default:"10000" validate:"min=1"`
	} `yaml:"subscriptions" json:"subscriptions"`
	Queue struct {
		Max int `yaml:"max" json:"max" default:"1000000" validate:"min=1"`
	} `yaml:"queue" json:"queue"`
	Expiry time.Duration `yaml:"expiry" json:"expiry" default:"0s" validate:"min=0s"` // of kept ones; 0: never
	Will   struct {
		Delay time.Duration `yaml:"delay" json:"delay" default:"3s" validate:"min=0s"`
	} `yaml:"will" json:"will"`
}

// Storage is where and how messages are stored.
type Storage struct {
	Dir      string        `yaml:"dir" json:"dir" default:"var/db/baetyl/data" validate:"nonzero"`
	Sync     string        `yaml:"sync" json:"sync" default:"always" validate:"oneof=always|interval|none"`
	Interval time.Duration `yaml:"interval" json:"interval" default:"1s" validate:"min=1ms"`
	Max      conf.Size     `yaml:"max" json:"max" default:"0"` // 0: no limit
	Free     conf.Size     `yaml:"free" json:"free" default:"16m"`
}

// Sys is about the statistics below $SYS.
type Sys struct {
	Interval time.Duration `yaml:"interval" json:"interval" default:"10s" validate:"min=0s"` // 0: none
}

// Metrics is about Prometheus and the report to the master.
type Metrics struct {
	Address string `yaml:"address" json:"address" default:"127.0.0.1:9883"` // host:port; empty: none
	// names that requests may ask for besides addresses, names without a dot and the name of this machine
	Hosts  []string `yaml:"hosts" json:"hosts"`
	Report struct {
		Interval time.Duration `yaml:"interval" json:"interval" default:"1m" validate:"min=1ms"`
	} `yaml:"report" json:"report"`
}

// Status is about the line with all statistics in the log.
type Status struct {
	Logging struct {
		Enable   bool          `yaml:"enable" json:"enable"`
		Interval time.Duration `yaml:"interval" json:"interval" default:"60s" validate:"min=1ms"`
	} `yaml:"logging" json:"logging"`
}

// Shutdown is about the end of the hub.
type Shutdown struct {
	Timeout time.Duration `yaml:"timeout" json:"timeout" default:"10m" validate:"min=1ms"`
}

// Warnings names keys that have no effect.
func (c *Config) Warnings() []string {
	if c.Certificate.CA != "" && c.Certificate.Cert == "" {
		return []string{"certificate.ca: has no effect without certificate.cert and certificate.key; " +
			"set them, or leave it out"}
	}
	return nil
}

// Limits returns the limits of topics and filters.
func (c *Config) Limits() topic.Limits {
	return topic.Limits{Length: c.Message.Topic.Length, Levels: c.Message.Topic.Levels}
}

// Users returns the principals.
func (c *Config) Users() (*auth.Book, error) {
	b, err := auth.New(c.Principals, c.Limits())
	if err == nil && c.Certificate.named() {
		b = b.ByCommonName()
	}
	return b, err
}

// Validate implements conf.Validator.
func (c *Config) Validate() error {
	secured := false
	for i, a := range c.Listen {
		secure, err := listener.Check(a)
		if err != nil {
			return fmt.Errorf("listen[%d]: %w", i, err)
		}
		secured = secured || secure
		if secure && (c.Certificate.Cert == "" || c.Certificate.Key == "") {
			return fmt.Errorf("listen[%d]: %s needs certificate.cert and certificate.key; set both", i, a)
		}
	}
	if err := c.Certificate.check(secured); err != nil {
		return err
	}
	if c.Metrics.Address != "" {
		if err := addr.CheckListen(c.Metrics.Address); err != nil {
			return fmt.Errorf("metrics.address: %w", err)
		}
	}
	if err := c.Admin.Check(); err != nil {
		return err
	}
	if _, err := c.Users(); err != nil {
		return err
	}
	if err := c.checkLimits(); err != nil {
		return err
	}
	return c.checkRoutes()
}

func (c *Config) checkRoutes() error {
	l, seen := c.Limits(), map[[2]string]int{}
	for i, r := range c.Subscriptions {
		if err := l.CheckFilter(r.Source.Topic); err != nil {
			return fmt.Errorf("subscriptions[%d].source.topic: %w", i, err)
		}
		if err := l.CheckName(r.Target.Topic); err != nil {
			return fmt.Errorf("subscriptions[%d].target.topic: %w", i, err)
		}
		key := [2]string{r.Source.Topic, r.Target.Topic}
		if j, ok := seen[key]; ok {
			return fmt.Errorf("subscriptions[%d]: same source and target as subscriptions[%d]; remove one of them", i, j)
		}
		seen[key] = i
	}
	// The copy that a route publishes on its target takes every route whose source matches that target. In a cycle of
	// routes copies would never end.
	const fresh, open, closed = 0, 1, 2
	state := make([]int, len(c.Subscriptions))
	var visit func(i int) error
	visit = func(i int) error {
		switch state[i] {
		case closed:
			return nil
		case open:
			r := c.Subscriptions[i]
			return fmt.Errorf("subscriptions[%d]: its target %q leads back to its source %q, "+
				"so that messages would go round for ever; change one of the two", i, r.Target.Topic, r.Source.Topic)
		}
		state[i] = open
		for j, next := range c.Subscriptions {
			if topic.Match(next.Source.Topic, c.Subscriptions[i].Target.Topic) {
				if err := visit(j); err != nil {
					return err
				}
			}
		}
		state[i] = closed
		return nil
	}
	for i := range c.Subscriptions {
		if err := visit(i); err != nil {
			return err
		}
	}
	return nil
}

// Routes returns the static routes for the core.
func (c *Config) Routes() []core.StaticRoute {
	out := make([]core.StaticRoute, len(c.Subscriptions))
	for i, r := range c.Subscriptions {
		out[i] = core.StaticRoute{
			Source:    r.Source.Topic,
			SourceQOS: packet.QOS(r.Source.QOS),
			Target:    r.Target.Topic,
			TargetQOS: packet.QOS(r.Target.QOS),
		}
	}
	return out
}
