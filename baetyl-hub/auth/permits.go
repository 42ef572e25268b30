package auth

import (
	"fmt"
	"slices"
	"strings"

	"github.com/baetyl/baetyl/utils/topic"
)

// Levels of permits that stand for something else.
const (
	ofUser   = "%u" // the user name
	ofClient = "%c" // the client id
)

// fits tells whether a name may stand in a permit as a level: it is one, and widens nothing.
func fits(name string) bool {
	return name != "" && name[0] != '$' && !strings.ContainsAny(name, "/+#\x00")
}

// fill puts the names into a permit. What stands in a name is not looked at again.
func fill(permit, user, client string) string {
	levels := strings.Split(permit, "/")
	for i, level := range levels {
		switch level {
		case ofUser:
			levels[i] = user
		case ofClient:
			levels[i] = client
		}
	}
	return strings.Join(levels, "/")
}

// filled is a permit with the names in it; not ok: it gives no right to them.
func filled(permit, user, client string) (text string, ok bool) {
	levels := strings.Split(permit, "/")
	if slices.Contains(levels, ofUser) && !fits(user) || slices.Contains(levels, ofClient) && !fits(client) {
		return "", false
	}
	return fill(permit, user, client), true
}

// permit gives the user a permit of the configuration. It returns what is to be said of it, "": nothing.
func (u *User) permit(action, permit string) (warning string) {
	levels := strings.Split(permit, "/")
	user, client := slices.Contains(levels, ofUser), slices.Contains(levels, ofClient)
	switch {
	case user && !fits(u.Name):
		return fmt.Sprintf("%q gives no right: the user name %q can't be a level of a topic, since it has /, + or #, or "+
			"begins with $; write what is permitted without %%u", permit, u.Name)
	case client:
		if u.own == nil {
			u.own = map[string][]string{}
		}
		u.own[action] = append(u.own[action], permit)
	default:
		u.permits[action] = append(u.permits[action], fill(permit, u.Name, ""))
	}
	if slices.ContainsFunc(levels, func(x string) bool {
		return x != ofUser && x != ofClient && (strings.Contains(x, ofUser) || strings.Contains(x, ofClient))
	}) {
		return fmt.Sprintf("%q has %%u or %%c beside other characters, where they stand for nothing; "+
			"make each a level of its own if they should", permit)
	}
	return ""
}

// MayAnything tells whether the user has any permission. The hub refuses users without.
func (u *User) MayAnything() bool { return len(u.permits)+len(u.own) > 0 }

// MayPublish tells whether the user may publish to a topic, whatever the client id.
func (u *User) MayPublish(name string) bool { return u.As("").MayPublish(name) }

// MaySubscribe tells whether one permit covers all topics that the filter can match, whatever the client id.
func (u *User) MaySubscribe(filter string) bool { return u.As("").MaySubscribe(filter) }

// Actor is a user with a client id.
type Actor struct {
	user   *User
	client string
}

// As returns the user with a client id. Where that is "" or begins with U+0000 the hub has assigned it, and permits
// with %c give no right.
func (u *User) As(client string) Actor { return Actor{u, client} }

// Lacks tells whether there are permits that give no right since the client id can't be a level of a topic.
func (a Actor) Lacks() bool { return len(a.user.own) > 0 && !fits(a.client) }

// MayPublish tells whether the client may publish to a topic.
func (a Actor) MayPublish(name string) bool { return a.may(Publish, name) }

// MaySubscribe tells whether one permit covers all topics that the filter can match.
func (a Actor) MaySubscribe(filter string) bool { return a.may(Subscribe, filter) }

func (a Actor) may(action, filter string) bool {
	for _, p := range a.user.permits[action] {
		if topic.Covers(p, filter) {
			return true
		}
	}
	for _, p := range a.user.own[action] {
		if text, ok := filled(p, a.user.Name, a.client); ok && topic.Covers(text, filter) {
			return true
		}
	}
	return false
}
