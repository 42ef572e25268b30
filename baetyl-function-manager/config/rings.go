package config

import (
	"fmt"
	"strings"

	"github.com/baetyl/baetyl/protocol/mqtt"
)

// feed says that what rule `from` publishes comes to rule `to`.
type feed struct {
	from, to int
	key      string // of from: publish or deadletter
	topic    string
}

func (f feed) text(rules []Rule) string {
	return fmt.Sprintf("rules[%d].%s.topic %q comes to rules[%d].subscribe.topic %q",
		f.from, f.key, f.topic, f.to, rules[f.to].Subscribe.Topic)
}

// rings returns an error for rules that feed each other or themselves: one message would become as many as the machine
// can handle. Rules with feedback are left out. What goes through other programs is not seen here; see rule/echo.go.
func rings(rules []Rule) error {
	ring := shortest(len(rules), feeds(rules))
	if ring == nil {
		return nil
	}
	var steps []string
	for _, f := range ring {
		steps = append(steps, f.text(rules))
	}
	first := ring[0]
	return fmt.Errorf("rules[%d].%s.topic: what the rule publishes comes back to it: %s; "+
		"a message would go round for ever: change one of these topics, or set rules[%d].feedback: true "+
		"if the function ends the round by returning nothing", first.from, first.key, strings.Join(steps, ", "), first.from)
}

func feeds(rules []Rule) (out []feed) {
	for from, r := range rules {
		if r.Feedback {
			continue
		}
		for to, other := range rules {
			for _, f := range []feed{
				{from, to, "publish", r.Publish.Topic},
				{from, to, "deadletter", r.DeadLetter.Topic},
			} {
				if f.topic != "" && !other.Feedback && mqtt.Match(other.Subscribe.Topic, f.topic) {
					out = append(out, f)
				}
			}
		}
	}
	return out
}

// shortest returns the shortest ring of feeds among n rules, nil if there is none.
func shortest(n int, all []feed) (ring []feed) {
	next := make([][]feed, n)
	for _, f := range all {
		next[f.from] = append(next[f.from], f)
	}
	for start := range n {
		came := make([]*feed, n) // how the search came to a rule
		for queue := []int{start}; len(queue) > 0 && came[start] == nil; queue = queue[1:] {
			for i, f := range next[queue[0]] {
				if came[f.to] == nil {
					came[f.to] = &next[queue[0]][i]
					queue = append(queue, f.to)
				}
			}
		}
		if came[start] == nil {
			continue
		}
		var found []feed
		for at := start; len(found) == 0 || at != start; at = found[0].from {
			found = append([]feed{*came[at]}, found...)
		}
		if ring == nil || len(found) < len(ring) {
			ring = found
		}
	}
	return ring
}
