//go:build unix

package user

import (
	"errors"
	"fmt"
	"os/user"
	"slices"
	"strconv"
	"strings"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/app"
)

// Named returns who the `user` of a service means on this host, with the groups that the host has given it, but for the
// one of the persons who may use the API. A number need not have a name. One that may be that of a service is refused.
func (r *Registry) Named(text string) (ID, error) {
	id, err := r.named(text)
	if err != nil {
		return ID{}, fmt.Errorf("user %s: %w", text, err)
	}
	return id, nil
}

// Check says why Named would refuse text, as far as it can be seen without the numbers that o.Users does not name. It
// opens nothing.
func Check(o Options, text string) error {
	_, err := (&Registry{opts: o}).Named(text)
	return err
}

func (r *Registry) named(text string) (ID, error) {
	a, err := app.ParseAccount(text)
	if err != nil {
		return ID{}, err
	}
	var id ID
	u, err := userOf(a.User)
	switch {
	case err == nil:
		if id, err = idOf(u); err != nil {
			return ID{}, err
		}
	case isNumber(a.User):
		n, _ := strconv.ParseUint(a.User, 10, 32) // ParseAccount has checked it
		id = ID{UID: int(n), GID: int(n)}
	default:
		return ID{}, fmt.Errorf("this host has no such user; make it, or write its number: %w", err)
	}
	if a.Group != "" {
		if id.GID, err = groupNumber(a.Group); err != nil {
			return ID{}, err
		}
	}
	admins := r.Admins()
	id.Groups = slices.DeleteFunc(id.Groups, func(g int) bool { return g == id.GID || g == admins })
	for _, n := range append([]int{id.UID, id.GID}, id.Groups...) {
		id := uint32(n)
		ours := r.opts.Users != (engine.Users{}) && r.opts.Users.Contains(id) // none is chosen yet, for Check
		if ours || engine.MayBeService(id) && !onHost(id) {
			const text = "%d may be the number of another service, here (%s) or of another installation"
			return ID{}, fmt.Errorf(text, n, strings.TrimSpace("native.users "+r.opts.Users.String()))
		}
	}
	if id.GID == admins && id.UID != 0 {
		return ID{}, fmt.Errorf("its group is %s, which may use the API without a token; write another: %s:<group>",
			r.opts.Admins, a.User)
	}
	return id, nil
}

func userOf(name string) (*user.User, error) {
	if isNumber(name) {
		return user.LookupId(name)
	}
	return user.Lookup(name)
}

// idOf reads the numbers of u. Its groups may be unknown, as those of a directory that does not answer: then none.
func idOf(u *user.User) (id ID, err error) {
	if id.UID, err = strconv.Atoi(u.Uid); err != nil {
		return ID{}, err
	}
	if id.GID, err = strconv.Atoi(u.Gid); err != nil {
		return ID{}, err
	}
	groups, err := u.GroupIds()
	if err != nil {
		return id, nil
	}
	for _, text := range groups {
		if g, err := strconv.Atoi(text); err == nil {
			id.Groups = append(id.Groups, g)
		}
	}
	return id, nil
}

// Admins is the group of the persons who may use the API; -1: this host has none.
func (r *Registry) Admins() int {
	if r.opts.Admins == "" {
		return -1
	}
	n, err := groupNumber(r.opts.Admins)
	if err != nil { // it need not exist
		return -1
	}
	return n
}

func groupNumber(name string) (int, error) {
	if isNumber(name) {
		return strconv.Atoi(name)
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, errors.Join(fmt.Errorf("this host has no group %s; make it, or write its number", name), err)
	}
	return strconv.Atoi(g.Gid)
}

func isNumber(name string) bool { return name != "" && name[0] >= '0' && name[0] <= '9' }
