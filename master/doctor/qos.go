package doctor

import (
	"context"
	"fmt"

	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/topic"
)

// hop is one step of a route through the device: what is taken, where, and with which quality.
type hop struct {
	path     string // of the file that says it
	what     string // for people
	from, to string // filter and topic; empty: another broker
	in, out  int    // QoS
	clean    bool   // its session ends with its connection: what comes meanwhile is lost whatever its QoS
}

// checkQoS finds routes that keep messages at one hop, and lose them at another.
func checkQoS(_ context.Context, o *Options) (out []masterapi.Finding) {
	var hops []hop
	for _, m := range o.all() {
		hops = append(hops, m.hops()...)
	}
	const hint = "write qos: 1 there, or qos: 0 at every hop if messages may be lost"
	say := func(text string) { out = append(out, one(warning, text, hint)...) }
	durable := 0
	for _, h := range hops {
		switch {
		case h.in != h.out && h.to != "":
			const text = "%s: %s takes %s with QoS %d and gives it to %s with QoS %d"
			say(fmt.Sprintf(text, h.path, h.what, h.from, h.in, h.to, h.out))
		case h.in == 0:
		case h.clean:
			say(fmt.Sprintf("%s: %s takes %s with QoS 1 and cleansession: true: what comes while it is away is lost",
				h.path, h.what, h.from))
		default:
			durable++
		}
		for _, next := range hops {
			if h.to == "" || next.from == "" || !matches(next.from, h.to) {
				continue
			}
			if h.out > 0 && next.in == 0 {
				say(fmt.Sprintf("%s gives %s on with QoS 1 (%s), and %s takes it with QoS 0 (%s)", h.what, h.to, h.path, next.what,
					next.path))
			}
		}
	}
	return or(out, ok("%d of %d hops lose nothing, and no route mixes both", durable, len(hops)))
}

// hops are the steps in a file: routes of a hub, rules of the function manager and of bridges.
func (m module) hops() (out []hop) {
	list := func(v map[any]any, key string) (out []map[any]any) {
		items, _ := v[key].([]any)
		for _, item := range items {
			if one, ok := item.(map[any]any); ok {
				out = append(out, one)
			}
		}
		return out
	}
	sub := func(v map[any]any, key string) map[any]any {
		one, _ := v[key].(map[any]any)
		return one
	}
	text := func(v map[any]any, key string) string {
		s, _ := v[key].(string)
		return s
	}
	qos := func(v map[any]any) int {
		n, _ := v["qos"].(int)
		return n
	}
	for _, r := range list(m.value, "subscriptions") {
		from, to := sub(r, "source"), sub(r, "target")
		if text(from, "topic") != "" {
			out = append(out, hop{path: m.path, what: "the hub", from: text(from, "topic"), to: text(to, "topic"), in: qos(from),
				out: qos(to)})
		}
	}
	clean, _ := sub(m.value, "hub")["cleansession"].(bool)
	for i, r := range list(m.value, "rules") {
		if from := sub(r, "subscribe"); from != nil {
			to := sub(r, "publish")
			what := fmt.Sprintf("rule %d, of function %s,", i+1, text(sub(r, "function"), "name"))
			out = append(out, hop{path: m.path, what: what, from: text(from, "topic"), to: text(to, "topic"), in: qos(from),
				out: qos(to), clean: clean})
		}
		for _, s := range list(sub(r, "hub"), "subscriptions") { // to another broker, with the same quality
			what := fmt.Sprintf("rule %d, to %s,", i+1, text(sub(r, "remote"), "name"))
			out = append(out, hop{path: m.path, what: what, from: text(s, "topic"), in: qos(s), out: qos(s), clean: clean})
		}
	}
	return out
}

// matches tells whether a filter takes a topic, also as one of a group that shares. One that is no filter takes none.
func matches(filter, name string) bool {
	_, own, _, err := topic.Share(filter)
	return err == nil && topic.Match(own, name)
}
