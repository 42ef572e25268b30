package engine

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/baetyl/baetyl/protocol/app"
)

// Users is the range of numbers that the users and groups of native services are taken from; both ends belong to it. In
// a file it is "70000-74999".
type Users struct{ First, Last uint32 }

// Where a range may lie: above the 16 bits of a system's own users, of people, and of systemd's dynamic users
// (61184-65519), and below what people give to the users inside of containers, from 100000.
const (
	lowest, highest = 65536, 99999
	smallest        = 100  // numbers of a range
	block           = 1000 // numbers of a range that nobody has configured
)

// UsersBlocks are the ranges that an installation without native.users may have, in the order in which they are tried.
func UsersBlocks() (out []Users) {
	for first := uint32(70000); first <= highest; first += block {
		out = append(out, Users{first, first + block - 1})
	}
	for first := uint32(66000); first < 70000; first += block {
		out = append(out, Users{first, first + block - 1})
	}
	return out
}

// MayBeService tells whether the user id can be that of a native service, of whatever installation.
func MayBeService(id uint32) bool { return lowest <= id && id <= highest }

// ParseUsers reads first-last.
func ParseUsers(text string) (Users, error) {
	first, last, ok := strings.Cut(text, "-")
	a, err := strconv.ParseUint(strings.TrimSpace(first), 10, 32)
	b, err2 := strconv.ParseUint(strings.TrimSpace(last), 10, 32)
	r := Users{uint32(a), uint32(b)}
	switch {
	case !ok || err != nil || err2 != nil:
		return Users{}, fmt.Errorf("%q is no range; write the first and the last number, such as 70000-74999", text)
	case r.First < lowest || r.Last > highest:
		const text = "range %s leaves %d-%d, which is free on usual systems; choose one in there"
		return Users{}, fmt.Errorf(text, r, lowest, highest)
	case r.Last < r.First || r.Last-r.First+1 < smallest:
		return Users{}, fmt.Errorf("range %s has less than %d numbers; make it larger", r, smallest)
	}
	return r, nil
}

// String is the range as it stands in a file; empty when none is configured.
func (r Users) String() string {
	if r == (Users{}) {
		return ""
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// Contains tells whether id is one of the range.
func (r Users) Contains(id uint32) bool { return r.First <= id && id <= r.Last }

// Overlaps tells whether the two have a number in common.
func (r Users) Overlaps(o Users) bool { return r.First <= o.Last && o.First <= r.Last }

// MarshalText writes the range.
func (r Users) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads a range.
func (r *Users) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*r = Users{}
		return nil
	}
	v, err := ParseUsers(string(text))
	if err == nil {
		*r = v
	}
	return err
}

// Form implements conf.Former.
func (*Users) Form() string { return "a range such as 70000-74999" }

// UnmarshalYAML reads a range from YAML.
func (r *Users) UnmarshalYAML(unmarshal func(any) error) error {
	var text string
	if unmarshal(&text) != nil {
		return fmt.Errorf("expected %s, found a list or a mapping", r.Form())
	}
	return r.UnmarshalText([]byte(text))
}

// Use says who uses a volume, as the application has it.
type Use struct {
	Writers []Member // that mount it writable, in the order of the application
	Readers []Member // the others that mount it
	Owner   Member   // its key owner; the zero value: none
}

// Member is a service with the user that it names, or a user alone.
type Member struct{ Service, User string }

// UseOf returns who uses the volume called name, also under another name with the same path.
func UseOf(c *app.Config, name string) Use {
	v := c.Volume(name)
	var u Use
	for _, s := range c.Services {
		if s.Name == v.Owner {
			u.Owner = Member{s.Name, s.User}
		}
		mounts, writes := false, false
		for _, m := range s.Mounts {
			if m.Name == name || samePath(c.Volume(m.Name), v) {
				mounts, writes = true, writes || !m.ReadOnly
			}
		}
		switch {
		case writes:
			u.Writers = append(u.Writers, Member{s.Name, s.User})
		case mounts:
			u.Readers = append(u.Readers, Member{s.Name, s.User})
		}
	}
	if u.Owner == (Member{}) {
		u.Owner.User = v.Owner
	}
	return u
}

func samePath(a, b app.Volume) bool {
	x, err := app.CleanPath(a.Path)
	y, err2 := app.CleanPath(b.Path)
	return err == nil && err2 == nil && x == y
}
