// Package timer is the module baetyl-timer: it publishes a message to the hub on an interval. It reads
// etc/baetyl/service.yml:
//
//	timer:
//	  interval: 10s        # default 1m; the first message comes after one interval
//	publish:
//	  topic: t             # default timer
//	  qos: 1               # default 0
//	  payload:             # any JSON object; the key time is set to the seconds since 1970
//	    id: 1
package timer

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/baetyl/baetyl/protocol/mqtt"
	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
)

// Main is the module. It returns when it is asked to end, or says why it cannot run.
func Main(ctx baetyl.Context) error {
	var cfg config
	if err := ctx.LoadConfigStrict(&cfg); err != nil {
		return err
	}
	hub, err := ctx.NewHubClient("", nil)
	if err != nil {
		return err
	}
	if err := hub.Start(nil); err != nil {
		return err
	}
	ticker := time.NewTicker(cfg.Timer.Interval)
	defer ticker.Stop()
	run(ctx.Done(), ticker.C, cfg.Publish.Payload, func(payload []byte) {
		if err := hub.Publish(cfg.Publish.target(), payload); err != nil {
			ctx.Log().WithError(err).Errorf("message is not sent")
		}
	})
	return nil
}

// config is the module's part of service.yml.
type config struct {
	Timer struct {
		Interval time.Duration `yaml:"interval" json:"interval" default:"1m" validate:"min=1"` // between messages
	} `yaml:"timer" json:"timer"`
	Publish publish `yaml:"publish" json:"publish"`
}

type publish struct {
	Topic   string         `yaml:"topic" json:"topic" default:"timer"`
	QOS     uint32         `yaml:"qos" json:"qos" validate:"oneof=0|1"`
	Payload map[string]any `yaml:"payload" json:"payload"` // as YAML gives it; Complete makes it fit for JSON
}

func (p publish) target() mqtt.TopicInfo { return mqtt.TopicInfo{Topic: p.Topic, QOS: p.QOS} }

// Complete gives the payload the types of JSON.
func (c *config) Complete() {
	payload := make(map[string]any, len(c.Publish.Payload))
	for k, v := range c.Publish.Payload {
		payload[k] = jsonable(v)
	}
	c.Publish.Payload = payload
}

// Validate checks what tags can't, and that the payload has a form in JSON.
func (c *config) Validate() error {
	if err := mqtt.CheckTopic(c.Publish.Topic); err != nil {
		return fmt.Errorf("publish.topic: %q: %w", c.Publish.Topic, err)
	}
	if _, err := json.Marshal(c.Publish.Payload); err != nil {
		return fmt.Errorf("publish.payload: has no form in JSON: %w", err)
	}
	return nil
}

// jsonable replaces the maps of YAML, whose keys may be anything, by those of JSON.
func jsonable(v any) any {
	switch v := v.(type) {
	case map[any]any:
		m := make(map[string]any, len(v))
		for k, e := range v {
			m[fmt.Sprint(k)] = jsonable(e)
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, e := range v {
			l[i] = jsonable(e)
		}
		return l
	}
	return v
}

// run publishes payload with the time of each tick until ctx ends.
func run(ctx context.Context, ticks <-chan time.Time, payload map[string]any, publish func([]byte)) {
	for {
		select {
		case t := <-ticks:
			publish(message(payload, t))
		case <-ctx.Done():
			return
		}
	}
}

// message is payload as compact JSON with sorted keys, with the seconds since 1970 under the key time.
func message(payload map[string]any, now time.Time) []byte {
	m := maps.Clone(payload)
	if m == nil {
		m = map[string]any{}
	}
	m["time"] = now.Unix()
	text, err := json.Marshal(m)
	if err != nil {
		panic(err) // Validate has marshalled it
	}
	return text
}
