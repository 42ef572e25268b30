package api

import (
	"fmt"
	"os"
	"os/user"
	"strconv"

	"github.com/baetyl/baetyl/protocol/http"
)

// persons are those who may do everything, without a token: root, the user of the master, and a group of the host.
//
// The groups of a peer are those that its process had when it connected, as the kernel recorded them (http.Peer): the
// mode of the socket was checked with the same ones. So whoever was added to the group has to log in anew, and whoever
// was removed from it stays until then, as with every file of the group.
type persons struct {
	own     int    // the user of the master
	group   string // as configured
	gid     int    // 0: there is no such group
	service func(uid int) bool
}

// findPersons looks up the group, once. missing says so, for people, when there is none.
func findPersons(group string, service func(uid int) bool) (p persons, missing string) {
	p = persons{own: os.Geteuid(), group: group, service: service}
	if group == "" {
		return p, ""
	}
	found, err := user.LookupGroup(group)
	if err == nil {
		p.gid, err = strconv.Atoi(found.Gid)
	}
	if err != nil {
		const text = "there is no group %s (server.group): only root and the user of the master can open the admin socket"
		missing = fmt.Sprintf(text, group)
	}
	return p, missing
}

// socket is the group of the socket; 0: that of the master's process. A master that is neither root nor in the group
// cannot give the socket to it.
func (p persons) socket() int {
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

// admit tells why peer may not use the admin socket; nil: it may.
func (p persons) admit(peer http.Peer) error {
	switch {
	case p.service != nil && p.service(peer.UID): // also one that somebody has put into the group
		return fmt.Errorf("%s is the user of a service: services use the socket of the API, with their token", peer)
	case peer.UID == 0, peer.UID == p.own, p.gid != 0 && peer.In(p.gid):
		return nil
	}
	return fmt.Errorf("%s is not root, and not in group %s (server.group)", peer, p.group)
}
