// Package topic is the grammar of MQTT topic names and filters: which are valid, which names a filter matches, which
// filters it covers, and a tree that matches many of them at once.
package topic

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Limits are the limits of names and filters: message.topic of the hub's configuration.
type Limits struct {
	Length int // characters, at most
	Levels int // separators '/', at most
}

// DefaultLimits are 255 characters and 8 separators.
var DefaultLimits = Limits{Length: 255, Levels: 8}

// SharePrefix starts the filter of a shared subscription: $share/<group>/<filter>.
const SharePrefix = "$share/"

// SysPrefix starts the topics on which the hub publishes its statistics.
const SysPrefix = "$SYS/"

// The first levels of topics that are the hub's own.
const (
	sys   = "$SYS"
	share = "$share"
)

// Reserved tells whether a topic belongs to the hub: nobody else publishes there. Other topics that start with $ are
// ordinary ones, but for [MQTT-4.7.2-1].
func Reserved(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	return first == sys || first == share
}

// BridgeState tells whether a topic is the one on which a bridge of mosquitto says whether it is connected:
// $SYS/broker/connection/<id>/state.
func BridgeState(name string) bool {
	id, ok := strings.CutPrefix(name, SysPrefix+"broker/connection/")
	id, state := strings.CutSuffix(id, "/state")
	return ok && state && id != "" && utf8.ValidString(id) && !strings.ContainsAny(id, "+#\x00")
}

// CheckName returns an error if clients may not publish to the topic s. [MQTT-3.3.2-2]
func (l Limits) CheckName(s string) error {
	if strings.ContainsAny(s, "+#") {
		return fmt.Errorf("topic %q: wildcards are not allowed here", s)
	}
	if Reserved(s) {
		return fmt.Errorf("topic %q: $SYS and $share belong to the hub; publish to another topic", s)
	}
	return l.check("topic", s)
}

// CheckFilter returns an error if s is not a valid filter. s is without $share/<group>/: see Share.
func (l Limits) CheckFilter(s string) error {
	if first, _, _ := strings.Cut(s, "/"); first == share {
		return fmt.Errorf("filter %q: $share/<group>/ does not belong here; use the filter behind it", s)
	}
	if err := l.check("filter", s); err != nil {
		return err
	}
	for rest, more := s, true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		switch {
		case level == "#" && more:
			return fmt.Errorf("filter %q: # must be the last level", s) // [MQTT-4.7.1-2]
		case level == "#" || level == "+":
		case strings.ContainsAny(level, "+#"):
			return fmt.Errorf("filter %q: + and # must fill a whole level", s) // [MQTT-4.7.1-3]
		}
	}
	return nil
}

// check checks the rules that names and filters have in common.
func (l Limits) check(kind, s string) error {
	switch {
	case s == "":
		return fmt.Errorf("%s is empty", kind) // [MQTT-4.7.3-1]
	case !utf8.ValidString(s):
		return fmt.Errorf("%s is not UTF-8", kind) // [MQTT-1.5.3-1]
	case strings.IndexByte(s, 0) >= 0:
		return fmt.Errorf("%s contains U+0000", kind) // [MQTT-4.7.3-2]
	case utf8.RuneCountInString(s) > l.Length:
		return fmt.Errorf("%s is longer than %d characters", kind, l.Length)
	case strings.Count(s, "/") > l.Levels:
		return fmt.Errorf("%s %q has more than %d levels", kind, s, l.Levels+1)
	}
	return nil
}

// Share splits a shared subscription into group and filter. If s is not one, ok is false and filter is s.
func Share(s string) (group, filter string, ok bool, err error) {
	rest, ok := strings.CutPrefix(s, SharePrefix)
	if !ok {
		return "", s, false, nil
	}
	group, filter, found := strings.Cut(rest, "/")
	if !found || group == "" || filter == "" || strings.ContainsAny(group, "+#") {
		return "", "", true, fmt.Errorf("filter %q: expected $share/<group>/<filter>", s)
	}
	return group, filter, true, nil
}

// Match tells whether the filter matches the topic name; both must be valid. A wildcard in the first level does not
// match names that start with $. [MQTT-4.7.2-1]
func Match(filter, name string) bool {
	if strings.HasPrefix(name, "$") && (strings.HasPrefix(filter, "+") || strings.HasPrefix(filter, "#")) {
		return false
	}
	for {
		var f, n string
		var fMore, nMore bool
		f, filter, fMore = strings.Cut(filter, "/")
		if f == "#" {
			return true
		}
		n, name, nMore = strings.Cut(name, "/")
		if f != "+" && f != n {
			return false
		}
		switch {
		case !fMore && !nMore:
			return true
		case !nMore:
			return filter == "#" // a/# matches its parent a. [MQTT-4.7.1-2]
		case !fMore:
			return false
		}
	}
}

// Covers tells whether permit allows every name that filter matches; a name is a filter that matches only itself. The
// permit # means all topics, as the documents of Baetyl say, also those that start with $, but not the hub's own. Other
// permits allow what Match says.
func Covers(permit, filter string) bool {
	if permit == "#" {
		return !Reserved(filter)
	}
	if strings.HasPrefix(filter, "$") && (strings.HasPrefix(permit, "+") || strings.HasPrefix(permit, "#")) {
		return false
	}
	for {
		var p, f string
		var pMore, fMore bool
		p, permit, pMore = strings.Cut(permit, "/")
		if p == "#" {
			return true
		}
		f, filter, fMore = strings.Cut(filter, "/")
		if f == "#" {
			return false // the filter matches more levels than the permit
		}
		if p != "+" && p != f { // + covers any level, another level only itself
			return false
		}
		switch {
		case !pMore && !fMore:
			return true
		case !fMore:
			return permit == "#"
		case !pMore:
			return false
		}
	}
}
