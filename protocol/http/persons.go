package http

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
)

// Persons are those who may do everything at an admin socket, without a token: root, the user of the program that
// serves it, and a group of the host.
//
// The groups of a peer are those that its process had when it connected, as the kernel recorded them (Peer): the mode
// of the socket was checked with the same ones. So whoever was added to the group has to log in anew, and whoever was
// removed from it stays until then, as with every file of the group.
type Persons struct {
	own     int    // the user of this process
	group   string // as configured
	gid     int    // 0: there is no such group
	key     string // of the configuration
	service func(uid int) bool
}

// FindPersons looks up the group, which stands at key of the configuration, once. missing says so, for people, when
// there is none. service tells whether services run as a user, who is never let in; nil: none does.
func FindPersons(key, group string, service func(uid int) bool) (p Persons, missing string) {
	p = Persons{own: os.Geteuid(), group: group, key: key, service: service}
	if group == "" {
		return p, ""
	}
	found, err := user.LookupGroup(group)
	if err == nil {
		p.gid, err = strconv.Atoi(found.Gid)
	}
	if err != nil {
		const text = "there is no group %s (%s): only root and the user of this process can open the admin socket"
		missing = fmt.Sprintf(text, group, key)
	}
	return p, missing
}

// Socket is the group of the socket; 0: that of this process. A process that is neither root nor in the group cannot
// give the socket to it.
func (p Persons) Socket() int {
	if p.own == 0 || os.Getegid() == p.gid {
		return p.gid
	}
	groups, _ := os.Getgroups() // none: it stays as it is
	for _, gid := range groups {
		if gid == p.gid {
			return p.gid
		}
	}
	return 0
}

// Admit tells why peer may not use the admin socket; nil: it may.
func (p Persons) Admit(peer Peer) error {
	switch {
	case p.service != nil && p.service(peer.UID): // also one that somebody has put into the group
		return fmt.Errorf("%s is the user of a service: services use the socket of the API, with their token", peer)
	case peer.UID == 0, peer.UID == p.own, p.gid != 0 && peer.In(p.gid):
		return nil
	}
	return fmt.Errorf("%s is not root, and not in group %s (%s)", peer, p.group, p.key)
}
