package config_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-remote-mqtt/config"
	"github.com/baetyl/baetyl/protocol/mqtt"
)

func TestTarget(t *testing.T) {
	for _, c := range []struct{ filter, strip, prefix, topic, want string }{
		{"a/#", "", "", "a/b", "a/b"},
		{"a/#", "", "p/q", "a/b", "p/q/a/b"},
		{"a/#", "a", "", "a/b/c", "b/c"},
		{"a/b/#", "a/b", "p", "a/b/c", "p/c"},
		{"a/b", "a/b", "c/d", "a/b", "c/d"}, // one topic gets another name
		{"a/#", "a", "p", "a", "p"},
		{"a/#", "a", "", "a", ""}, // can't be published
		{"a/#", "a", "p", "a/", "p/"},
		{"+/b", "", "p", "/b", "p//b"},
		{"#", "", "p", "/", "p//"},
		{"$SYS/#", "$SYS", "sys", "$SYS/x", "sys/x"},
		{"$share/g/a/#", "a", "p", "a/x", "p/x"},
		{"a/#", "", "", "b", "-"},
		{"$share/g/a", "", "", "$share/g/a", "-"},
		{"#", "", "", "$SYS/x", "-"},
	} {
		s := config.Subscription{TopicInfo: mqtt.TopicInfo{Topic: c.filter}, Strip: c.strip, Prefix: c.prefix}
		got, ok := s.Target(c.topic)
		if c.want == "-" {
			require.False(t, ok, "%+v", c)
			continue
		}
		require.True(t, ok, "%+v", c)
		require.Equal(t, c.want, got, "%+v", c)
	}
}

// Configurations that loop are refused, with the way; those that do not are let through.
func TestLoops(t *testing.T) {
	type rule struct{ remote, up, down string }
	for _, c := range []struct {
		name  string
		rules []rule
		want  string // "": accepted
	}{
		{"same topic on both sides", []rule{{"a", "{topic: t}", "{topic: t}"}},
			"rules[0].hub.subscriptions[0]: t would go round for ever, by way of rules[0].remote.subscriptions[0] and " +
				"rules[0].hub.subscriptions[0]"},
		{"wildcard over a topic", []rule{{"a", "{topic: '#'}", "{topic: cmd/x}"}}, "would go round"},
		{"wildcards that cross", []rule{{"a", "{topic: 'x/+'}", "{topic: '+/y'}"}}, "would go round"},
		{"apart", []rule{{"a", "{topic: 'x/#'}", "{topic: 'y/#'}"}}, ""},
		{"a prefix keeps apart", []rule{{"a", "{topic: 't/#', prefix: edge}", "{topic: 't/#', prefix: cloud}"}}, ""},
		{"a topic that grows", []rule{{"a", "{topic: '#', prefix: edge}", "{topic: 'edge/#'}"}}, "would go round"},
		{"there and back by another name",
			[]rule{{"a", "{topic: t, strip: t, prefix: u}", "{topic: u, strip: u, prefix: t}"}}, "would go round"},
		{"through two rules", []rule{{"a", "{topic: t}", "{topic: z}"}, {"a", "{topic: y}", "{topic: t}"}},
			"rules[1].remote.subscriptions[0]"},
		{"through two remotes: passed on, not back",
			[]rule{{"a", "{topic: x}", "{topic: y}"}, {"b", "{topic: y}", "{topic: x2}"}}, ""},
		{"through two remotes and back", []rule{{"a", "{topic: x, strip: x, prefix: y}", "{topic: y, strip: y, prefix: z}"},
			{"b", "{topic: z}", "{topic: z, strip: z, prefix: x}"}}, "would go round"},
		// a/b/a/x
		{"the rest of # after strip", []rule{{"a", "{topic: 'a/#', strip: a}", "{topic: 'b/#', strip: b}"}},
			"would go round"},
		{"$ is not in #", []rule{{"a", "{topic: '#', prefix: up}", "{topic: '$SYS/#', strip: $SYS, prefix: sys}"}}, ""},
		{"one direction", []rule{{"a", "{topic: '#'}", ""}}, ""},
	} {
		text := head + "rules:\n"
		for _, r := range c.rules {
			text += fmt.Sprintf(
				" - {hub: {subscriptions: [%s]}, remote: {name: %s, subscriptions: [%s]}}\n",
				r.up,
				r.remote,
				r.down,
			)
		}
		_, err := plan(text)
		if c.want == "" {
			require.NoError(t, err, c.name)
		} else {
			require.ErrorContains(t, err, c.want, c.name)
		}
	}
}

// Random rules against the truth: a message is sent round by hand. What the plan accepts never comes back.
func TestLoopsAgainstAModel(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	level := func(wild bool) string {
		if wild && r.IntN(3) == 0 {
			return "+"
		}
		return string(rune('a' + r.IntN(2)))
	}
	sub := func() config.Subscription {
		var levels []string
		strip := ""
		if r.IntN(3) == 0 {
			strip = level(false)
			levels = append(levels, strip)
		}
		for range 1 + r.IntN(2) {
			levels = append(levels, level(true))
		}
		if r.IntN(3) == 0 {
			levels = append(levels, "#")
		}
		s := config.Subscription{TopicInfo: mqtt.TopicInfo{Topic: strings.Join(levels, "/")}, Strip: strip}
		if r.IntN(3) == 0 {
			s.Prefix = level(false)
		}
		return s
	}
	var topics []string
	for _, a := range []string{"", "a", "b", "c"} {
		for _, b := range []string{"", "/a", "/b", "/c"} {
			for _, c := range []string{"", "/a", "/b", "/c"} {
				topics = append(topics, a+b+c)
			}
		}
	}
	looped, accepted := 0, 0
	for range 5000 {
		up, down := sub(), sub()
		cfg := config.Config{Remotes: []config.Remote{{Name: "a", ClientInfo: mqtt.ClientInfo{Address: "tcp://a"}}},
			Rules: []config.Rule{{Hub: config.Hub{Subscriptions: []config.Subscription{up}},
				Remote: config.Far{Name: "a", Subscriptions: []config.Subscription{down}}}}}
		_, err := cfg.Plan(mqtt.ClientInfo{Address: "tcp://h"}, "s")
		truth := false
		for _, topic := range topics {
			far, ok := up.Target(topic)
			near, back := down.Target(far)
			_, again := up.Target(near)
			truth = truth || topic != "" && ok && far != "" && back && near != "" && again
		}
		if truth {
			looped++
			require.Error(t, err, "%+v %+v", up, down)
		} else if err == nil {
			accepted++
		}
	}
	require.Greater(t, looped, 200)
	require.Greater(t, accepted, 200)
}

func FuzzSubscription(f *testing.F) {
	f.Add("a/#", "a", "p", "a/b")
	f.Add("$share/g/+", "", "p/q", "/")
	f.Add("#", "", "", "$SYS")
	f.Fuzz(func(t *testing.T, filter, strip, prefix, topic string) {
		s := config.Subscription{TopicInfo: mqtt.TopicInfo{Topic: filter}, Strip: strip, Prefix: prefix}
		cfg := config.Config{Remotes: []config.Remote{{Name: "r", ClientInfo: mqtt.ClientInfo{Address: "tcp://r"}}},
			Rules: []config.Rule{{Hub: config.Hub{Subscriptions: []config.Subscription{s}}, Remote: config.Far{Name: "r"}}}}
		cfg.Metrics.Report.Interval = 1
		if cfg.Validate() != nil || mqtt.CheckTopic(topic) != nil {
			return
		}
		if _, err := cfg.Plan(mqtt.ClientInfo{Address: "tcp://h"}, "s"); err != nil {
			t.Fatalf("one direction loops: %v", err)
		}
		target, ok := s.Target(topic)
		if ok && strip == "" && prefix == "" && target != topic {
			t.Fatalf("%q became %q", topic, target)
		}
		if ok && prefix != "" && target != prefix && !strings.HasPrefix(target, prefix+"/") {
			t.Fatalf("%q became %q without the prefix %q", topic, target, prefix)
		}
	})
}
