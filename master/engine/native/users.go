//go:build unix

package native

import (
	"fmt"
	"os"
	"strings"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/folder"
	"github.com/baetyl/baetyl/master/engine/native/user"
	"github.com/baetyl/baetyl/protocol/app"
)

// accountOf finds who the instances of s run as.
func (e *Engine) accountOf(s engine.Service, links []link) (account, error) {
	if e.opts.Users == nil || e.abilities().Users != nil {
		a := asMaster
		a.privileged = os.Geteuid() == 0
		return a, nil
	}
	a, err := e.userOf(s)
	if err != nil || !a.own() {
		return a, err
	}
	single := e.abilities().Capabilities == nil // else the warning of lacks
	if lowPort(s.Ports) && single {
		a.capabilities = append(a.capabilities, capBind)
	}
	all, err := e.holdsAll(s, links)
	if err == nil && all && single {
		a.capabilities = append(a.capabilities, capDAC)
	}
	return a, err
}

// ownUser tells whether services have users of their own here, and s does not say that it is root. It may be root all
// the same, by another name of the host's.
func (e *Engine) ownUser(s engine.Service) bool {
	name, _, _ := strings.Cut(s.User, ":")
	return e.opts.Users != nil && e.abilities().Users == nil && name != "root" && name != "0"
}

// holdsAll tells whether a writable mount of s contains the data of the master, which only one with the right to update
// may have. No mount may contain what the master keeps for itself while it runs. It is for services that are not root.
func (e *Engine) holdsAll(s engine.Service, links []link) (all bool, err error) {
	data, run := e.real(folder.Data), e.real(runDir)
	for _, l := range links {
		if l.volume == "" {
			continue
		}
		if folder.Within(run, l.source) || folder.Within(l.source, run) {
			return false, fmt.Errorf("%s: %s holds what the master keeps for itself; take another folder", l.what, l.source)
		}
		if l.readonly || !folder.Within(data, l.source) {
			continue
		}
		if all = true; !updates(s) {
			const text = "%s: it holds the volumes of all services, which native mode gives writable only to a service " +
				"with the api right %q, as the agent, or with `user: root`"
			return true, fmt.Errorf(text, l.what, app.RightUpdate)
		}
	}
	return all, nil
}

// registry opens the users of services. It waits for the first service, since a master writes nothing before it has the
// lock of its working directory.
func (e *Engine) registry() (*user.Registry, error) {
	e.usersMu.Lock()
	defer e.usersMu.Unlock()
	if e.users == nil {
		users, err := e.opts.Users()
		if err != nil {
			return nil, err
		}
		e.users = users
	}
	return e.users, nil
}

// userOf finds the user of s: its own, or the one that it names.
func (e *Engine) userOf(s engine.Service) (account, error) {
	users, err := e.registry()
	if err != nil {
		return account{}, err
	}
	id, err := users.ID(engine.Member{Service: s.Name, User: s.User})
	a := account{
		uid: id.UID, gid: id.GID, groups: id.Groups, privileged: id.UID == 0, umask: defaultUmask,
		persons: users.Admins(),
	}
	if !a.privileged {
		a.capabilities = []string{}
	}
	return a, err
}

// give gives the volumes of s to those who use them, and a the groups that it needs for them.
func (e *Engine) give(s engine.Service, links []link, a *account) (warnings []string, err error) {
	if a.uid < 0 {
		return nil, nil
	}
	users, err := e.registry()
	if err != nil {
		return nil, err
	}
	for _, l := range links {
		if l.volume == "" {
			continue
		}
		settled, err := users.Settle(l.source, useOf(s, l))
		if err != nil {
			return warnings, fmt.Errorf("%s: %w", l.what, err)
		}
		for _, w := range settled.Warnings {
			warnings = append(warnings, l.what+": "+w)
		}
		a.add(settled.GID)
		if settled.Shared {
			a.umask = sharedUmask
		}
	}
	return warnings, nil
}

// checkGive says why give would refuse a volume of s.
func (e *Engine) checkGive(s engine.Service, links []link) error {
	if e.opts.Users == nil || e.abilities().Users != nil {
		return nil
	}
	for _, l := range links {
		if l.volume == "" {
			continue
		}
		if err := user.CheckVolume(user.Options{Workdir: e.opts.Workdir}, l.source, useOf(s, l)); err != nil {
			return fmt.Errorf("%s: %w", l.what, err)
		}
	}
	return nil
}

// useOf is who uses the volume of l, which s mounts. Without an application around it, a service is alone.
func useOf(s engine.Service, l link) engine.Use {
	use, ok := s.Uses[l.volume]
	me := []engine.Member{{Service: s.Name, User: s.User}}
	switch {
	case !ok && l.readonly:
		use.Readers = me
	case !ok:
		use.Writers = me
	}
	return use
}
