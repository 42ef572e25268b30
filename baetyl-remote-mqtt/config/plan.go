package config

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/baetyl/baetyl/protocol/mqtt"
)

// Link is what one rule runs with.
type Link struct {
	Rule   int    // position in rules
	Remote string // name
	Near   mqtt.ClientInfo
	Far    mqtt.ClientInfo
	Up     []Subscription // hub to remote
	Down   []Subscription // remote to hub
	Will   *mqtt.Message  // of Far; may be nil
}

// CheckRemotes looks at every remote, those that no rule uses included, and at the certificate files that they name.
func (c *Config) CheckRemotes() error {
	for i, r := range c.Remotes {
		info := r.ClientInfo
		info.ClientID = cmp.Or(info.ClientID, "made up by Plan")
		if err := info.Check(); err != nil {
			return fmt.Errorf("remotes[%d].%w", i, err)
		}
	}
	return nil
}

// Plan joins the rules with the hub and the remotes. service is the start of made-up client ids when name is not set.
func (c *Config) Plan(hub mqtt.ClientInfo, service string) ([]Link, error) {
	if len(c.Rules) > 0 && hub.Address == "" {
		return nil, errors.New("hub.address: is empty; rules need a hub")
	}
	if len(hub.Subscriptions) > 0 {
		return nil, errors.New("hub.subscriptions: belongs to a rule: rules[].hub.subscriptions")
	}
	links := make([]Link, len(c.Rules))
	for i, r := range c.Rules {
		l := Link{Rule: i, Remote: r.Remote.Name, Near: hub, Up: r.Hub.Subscriptions, Down: r.Remote.Subscriptions}
		for _, remote := range c.Remotes {
			if remote.Name == l.Remote {
				l.Far = remote.ClientInfo
			}
		}
		l.Near.Subscriptions, l.Far.Subscriptions = infos(l.Up), infos(l.Down)
		if w := r.Remote.Will; w.Topic != "" {
			l.Will = &mqtt.Message{Topic: w.Topic, Payload: []byte(w.Payload), QOS: w.QOS, Retain: w.Retain}
		}
		links[i] = l
	}
	if err := c.clientIDs(links, plain(cmp.Or(c.Name, service, "remote-mqtt"))); err != nil {
		return nil, err
	}
	return links, findLoop(links)
}

func infos(subs []Subscription) (out []mqtt.TopicInfo) {
	for _, s := range subs {
		out = append(out, s.TopicInfo)
	}
	return out
}

// clientIDs gives each connection its id: that of the rule; else that of hub or remote; else <name>-<remote>. Two
// connections with one id to one broker would end each other for ever, so what is not given by a rule gets a number
// where it would be the second: the same at each start with the same rules.
func (c *Config) clientIDs(links []Link, name string) error {
	type client struct{ address, id string }
	taken := map[client]string{}
	for i, r := range c.Rules {
		for _, own := range []struct{ key, id, address string }{
			{fmt.Sprintf("rules[%d].hub.clientid", i), r.Hub.ClientID, links[i].Near.Address},
			{fmt.Sprintf("rules[%d].remote.clientid", i), r.Remote.ClientID, links[i].Far.Address},
		} {
			if own.id == "" {
				continue
			}
			if other, ok := taken[client{own.address, own.id}]; ok {
				return fmt.Errorf("%s: %q is that of %s too, at the same broker; give each its own", own.key, own.id, other)
			}
			taken[client{own.address, own.id}] = own.key
		}
	}
	choose := func(info *mqtt.ClientInfo, own, remote string) {
		if own != "" {
			info.ClientID = own
			return
		}
		base := cmp.Or(info.ClientID, name+"-"+plain(remote))
		info.ClientID = base
		for n := 2; taken[client{info.Address, info.ClientID}] != ""; n++ {
			info.ClientID = fmt.Sprintf("%s-%d", base, n)
		}
		taken[client{info.Address, info.ClientID}] = "another rule"
	}
	for i, r := range c.Rules {
		choose(&links[i].Near, r.Hub.ClientID, links[i].Remote)
		choose(&links[i].Far, r.Remote.ClientID, links[i].Remote)
	}
	return nil
}

// plain keeps the characters that the hub allows in a client id.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 128 && strings.ContainsRune("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_-", r) {
			return r
		}
		return '-'
	}, s)
}

// hop is one subscription of one rule: from one broker to another.
type hop struct {
	from, to string // addresses
	key      string
	sub      Subscription
}

// findLoop tells of messages that would come back to where the bridge took them from. It follows the topics of each
// subscription from broker to broker, through all rules. What others do with a message, a route of the hub for
// example, it can't see.
func findLoop(links []Link) error {
	var hops []hop
	for _, l := range links {
		for i, s := range l.Up {
			hops = append(hops, hop{l.Near.Address, l.Far.Address, fmt.Sprintf("rules[%d].hub.subscriptions[%d]", l.Rule, i), s})
		}
		for i, s := range l.Down {
			hops = append(
				hops,
				hop{l.Far.Address, l.Near.Address, fmt.Sprintf("rules[%d].remote.subscriptions[%d]", l.Rule, i), s},
			)
		}
	}
	for i, l := range hops {
		if way := follow(hops, i, i, l.sub.filter(), map[int]bool{}); way != nil {
			return fmt.Errorf("%s: %s would go round for ever, by way of %s; change topics with prefix or strip, or list fewer",
				l.key, l.sub.Topic, strings.Join(way, " and "))
		}
	}
	return nil
}

// follow sends topics, a filter, through hop at, and on. It returns the hops by which they reach start again, or nil.
func follow(hops []hop, start, at int, topics string, passed map[int]bool) []string {
	passed[at] = true
	defer delete(passed, at)
	out := hops[at].sub.change(topics)
	for i, next := range hops {
		if next.from != hops[at].to {
			continue
		}
		common, any := intersect(out, next.sub.filter())
		switch {
		case !any || out == "":
		case i == start:
			return []string{next.key}
		case !passed[i]:
			if way := follow(hops, start, i, common, passed); way != nil {
				return append([]string{next.key}, way...)
			}
		}
	}
	return nil
}
