package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// rules makes a configuration of rules, each "subscribe publish [dead letter]"; ! in front sets feedback.
func rules(list ...string) string {
	text := "functions: [{name: f, service: s}]\nrules:\n"
	for i, r := range list {
		r, feedback := strings.CutPrefix(r, "!")
		topics := strings.Fields(r)
		dead := ""
		if len(topics) > 2 {
			dead = fmt.Sprintf(", deadletter: {topic: %s}", topics[2])
		}
		text += fmt.Sprintf("  - {clientid: r%d, subscribe: {topic: '%s'}, function: {name: f}, publish: {topic: %s}%s, "+
			"feedback: %t}\n", i, topics[0], topics[1], dead, feedback)
	}
	return text
}

func TestRings(t *testing.T) {
	for _, c := range []struct {
		rules []string
		ring  string // empty: there is none
	}{
		{[]string{"a b", "b c", "a c"}, ""},
		{[]string{"a/+ a/b/c", "a a/b"}, ""},
		{[]string{"+/a b/a"}, `rules[0].publish.topic "b/a" comes to rules[0].subscribe.topic "+/a"`},
		{[]string{"t t"}, `rules[0].publish.topic "t" comes to rules[0].subscribe.topic "t"`},
		{[]string{"t/# t"}, `rules[0].publish.topic "t" comes to rules[0].subscribe.topic "t/#"`},
		{[]string{"t u t"}, `rules[0].deadletter.topic "t" comes to rules[0].subscribe.topic "t"`},
		{[]string{"x y", "a b", "b a"}, `rules[1].publish.topic "b" comes to rules[2].subscribe.topic "b", ` +
			`rules[2].publish.topic "a" comes to rules[1].subscribe.topic "a"`},
		{[]string{"a b dead/a", "dead/# a"}, `rules[0].deadletter.topic "dead/a" comes to rules[1].subscribe.topic ` +
			`"dead/#", rules[1].publish.topic "a" comes to rules[0].subscribe.topic "a"`},
		{[]string{"a b", "b c", "c d", "d a"}, `rules[3].publish.topic "a" comes to rules[0].subscribe.topic "a"`},
		{[]string{"!t t"}, ""},
		{[]string{"a b", "!b a"}, ""},
		{[]string{"!a b", "b b"}, `rules[1].publish.topic "b"`},
	} {
		_, err := load(rules(c.rules...))
		if c.ring == "" {
			require.NoError(t, err, c.rules)
			continue
		}
		require.ErrorContains(t, err, c.ring, c.rules)
		require.ErrorContains(t, err, "service.yml: rules[", c.rules)
		require.ErrorContains(t, err, "feedback: true")
	}
}
