//go:build unix

package native

import (
	"fmt"
	"os"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/folder"
	"github.com/baetyl/baetyl/protocol/app"
)

// Users gives services users of their own. *user.Registry implements it.
type Users interface {
	Service(name string) (uid, gid int, err error)
}

// accountOf finds who the instances of s run as.
func (e *Engine) accountOf(s engine.Service, links []link) (account, error) {
	if e.opts.Users == nil || e.abilities().Users != nil {
		a := asMaster
		a.privileged = os.Geteuid() == 0
		return a, nil
	}
	a, err := e.lookUp(s)
	if err != nil || !a.own() {
		return a, err
	}
	if lowPort(s.Ports) {
		a.capabilities = append(a.capabilities, capBind)
	}
	all, err := e.holdsAll(links)
	if err != nil || all == "" {
		return a, err
	}
	if !updates(s) {
		const text = "%s: it holds the volumes of all services, which native mode gives writable only to a service " +
			"with the api right %q, as the agent, or with `user: root`"
		return a, fmt.Errorf(text, all, app.RightUpdate)
	}
	a.capabilities = append(a.capabilities, capDAC)
	return a, nil
}

// holdsAll returns the writable mount that contains the data of the master; empty: there is none. No mount may contain
// what the master keeps for itself while it runs.
func (e *Engine) holdsAll(links []link) (what string, err error) {
	data, run := e.real(folder.Data), e.real(runDir)
	for _, l := range links {
		if l.volume == "" {
			continue
		}
		if folder.Within(run, l.source) || folder.Within(l.source, run) {
			return "", fmt.Errorf("%s: %s holds what the master keeps for itself; take another folder", l.what, l.source)
		}
		if !l.readonly && folder.Within(data, l.source) {
			what = l.what
		}
	}
	return what, nil
}

// lookUp asks for the user of s.
func (e *Engine) lookUp(s engine.Service) (account, error) {
	uid, gid, err := e.opts.Users.Service(s.Name)
	return account{uid: uid, gid: gid, capabilities: []string{}}, err
}

func (e *Engine) give(engine.Service, []link, *account) error { return nil }
