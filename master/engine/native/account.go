//go:build unix

package native

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/app"
)

// firstFreePort is the lowest port that a program without capabilities may listen on, as long as the host says nothing
// else (net.ipv4.ip_unprivileged_port_start).
const firstFreePort = 1024

// account is who the instances of a service run as, and what they may beside that.
type account struct {
	uid, gid     int   // -1: the user of the master
	groups       []int // beside gid
	privileged   bool  // `user: root`, or another name of it
	capabilities []string
	umask        int
	persons      int // group that may enter the private folder, for a socket in it; 0, -1: none
}

// asMaster is the account of every service when the master cannot give them users of their own.
var asMaster = account{uid: -1, gid: -1, umask: defaultUmask}

// own tells whether the service has another user than the master, and not root.
func (a account) own() bool { return a.uid > 0 }

// add adds a group.
func (a *account) add(gid int) {
	if gid > 0 && gid != a.gid && !slices.Contains(a.groups, gid) {
		a.groups = append(a.groups, gid)
	}
}

// lowPort tells whether one of the ports is below 1024. In native mode a program listens on the port of its own
// configuration, so both sides of ports: count.
func lowPort(ports []string) bool {
	for _, text := range ports {
		all, err := app.ParsePorts(text)
		if err != nil {
			continue // app.Validate has refused it
		}
		for _, p := range all {
			if p.Host > 0 && p.Host < firstFreePort || p.Container < firstFreePort {
				return true
			}
		}
	}
	return false
}

// devices returns the groups that may use the devices of a service, and what will not work as it is written.
func devices(list []string) (groups []int, warnings []string) {
	warn := func(device, format string, args ...any) {
		warnings = append(warnings, "devices: "+device+": "+fmt.Sprintf(format, args...))
	}
	for _, text := range list {
		d, err := app.ParseDevice(text)
		if err != nil {
			continue // app.Validate has refused it
		}
		if d.Container != d.Host {
			warn(d.Host, "native mode cannot show it as %s; the service finds it under its own path", d.Container)
		}
		info, err := os.Stat(d.Host)
		if err != nil {
			warn(d.Host, "%v", err)
			continue
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		switch {
		case !ok || info.Mode()&os.ModeDevice == 0:
			warn(d.Host, "is no device")
		case allows(uint32(info.Mode().Perm()), d.Permissions): // everybody
		case stat.Gid != 0 && allows(uint32(info.Mode().Perm())>>3, d.Permissions):
			groups = append(groups, int(stat.Gid))
		default:
			warn(d.Host, "only its owner may use it (mode %s); give it a group with a rule of udev, or write user: root",
				info.Mode().Perm())
		}
	}
	return groups, warnings
}

// allows tells whether the last three bits of mode hold what permissions (of r, w, m) ask for.
func allows(mode uint32, permissions string) bool {
	need := uint32(0)
	if strings.Contains(permissions, "r") {
		need |= 4
	}
	if strings.Contains(permissions, "w") {
		need |= 2
	}
	return mode&need == need
}

// updates tells whether the token of a service lets it replace the application and the master.
func updates(s engine.Service) bool { return app.Has(s.Rights(), app.RightUpdate) }
