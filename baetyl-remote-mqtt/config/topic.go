package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/baetyl/baetyl/protocol/mqtt"
)

// Subscription is a filter with the change that the topics of its messages undergo on their way: first strip, then
// prefix.
//
//	topic: sensors/#                                      sensors/a ─► sensors/a
//	topic: sensors/#, prefix: plant/7                     sensors/a ─► plant/7/sensors/a
//	topic: plant/7/cmd/#, strip: plant/7                  plant/7/cmd/x ─► cmd/x
//	topic: sensors/#, strip: sensors, prefix: plant/7/in  sensors/a ─► plant/7/in/a
type Subscription struct {
	mqtt.TopicInfo `yaml:",inline"`
	Strip          string `yaml:"strip" json:"strip"`   // first levels that are left out; the filter must begin with them
	Prefix         string `yaml:"prefix" json:"prefix"` // levels that are put in front
}

// Target is the topic that a message on topic gets on the other side, and whether the subscription covers topic. It
// may be one that can't be published to: "" for the topic that is just Strip when there is no Prefix.
func (s Subscription) Target(topic string) (string, bool) {
	if !mqtt.Match(s.filter(), topic) {
		return "", false
	}
	return s.change(topic), true
}

// change applies strip and prefix to a topic, or to a filter.
func (s Subscription) change(topic string) string {
	if s.Strip == "" && s.Prefix == "" {
		return topic
	}
	if s.Strip != "" {
		topic = strings.TrimPrefix(topic, s.Strip) // "" or /…
	} else {
		topic = "/" + topic
	}
	if s.Prefix == "" {
		return strings.TrimPrefix(topic, "/")
	}
	return s.Prefix + topic
}

// filter is what topics are compared with: that of a shared subscription, $share/group/filter, without its first two
// levels.
func (s Subscription) filter() string {
	if rest, ok := strings.CutPrefix(s.Topic, "$share/"); ok {
		if _, filter, ok := strings.Cut(rest, "/"); ok && filter != "" {
			return filter
		}
	}
	return s.Topic
}

func (s Subscription) check() error {
	if err := mqtt.CheckFilter(s.Topic); err != nil {
		return fmt.Errorf("topic: %q: %w", s.Topic, err)
	}
	for _, k := range []struct{ key, levels string }{{"strip", s.Strip}, {"prefix", s.Prefix}} {
		if k.levels == "" {
			continue
		}
		err := mqtt.CheckTopic(k.levels)
		if err == nil && strings.HasSuffix(k.levels, "/") {
			err = errors.New("ends with a slash; the slash that follows is not part of it")
		}
		if err != nil {
			return fmt.Errorf("%s: %q: %w", k.key, k.levels, err)
		}
	}
	if s.Strip == "" {
		return nil
	}
	if f := s.filter(); f != s.Strip && !strings.HasPrefix(f, s.Strip+"/") {
		return fmt.Errorf("strip: topic %q does not begin with %q", s.Topic, s.Strip)
	}
	if s.filter() == s.Strip && s.Prefix == "" {
		return fmt.Errorf("strip: nothing is left of topic %q; give a prefix", s.Topic)
	}
	return nil
}

// intersect returns the filter of the topics that both a and b cover, if there are any.
func intersect(a, b string) (string, bool) {
	if hidden(a) != hidden(b) {
		return "", false // wildcards at the start don't cover topics that start with $ [MQTT-4.7.2-1]
	}
	x, y := strings.Split(a, "/"), strings.Split(b, "/")
	var out []string
	for i := 0; ; i++ {
		switch {
		case i < len(x) && x[i] == "#":
			return strings.Join(append(out, y[min(i, len(y)):]...), "/"), true
		case i < len(y) && y[i] == "#":
			return strings.Join(append(out, x[min(i, len(x)):]...), "/"), true
		case i == len(x) || i == len(y):
			return strings.Join(out, "/"), len(x) == len(y)
		case x[i] == "+":
			out = append(out, y[i])
		case y[i] == "+" || x[i] == y[i]:
			out = append(out, x[i])
		default:
			return "", false
		}
	}
}

func hidden(filter string) bool { return strings.HasPrefix(filter, "$") }
