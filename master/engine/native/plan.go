//go:build unix

package native

import (
	"slices"

	"github.com/baetyl/baetyl/keeper"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/native/launch"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// The umask of a service, whatever the master was started with; the second one when it shares a volume with others that
// write to it.
const (
	defaultUmask = 0o022
	sharedUmask  = 0o002
)

// capability names, capabilities(7).
const (
	capBind = "CAP_NET_BIND_SERVICE"
	capDAC  = "CAP_DAC_OVERRIDE"
)

// plan is one instance to start, with all that has been found out about it: what follows from it is a pure function.
type plan struct {
	service  engine.Service
	spec     engine.Spec
	account  account
	view     *view    // nil: the host allows no mounts, the instance sees what the host has
	hideProc bool     // /proc can be private
	ownIPC   bool     // shared memory can be private
	program  string   // absolute
	args     []string // without the name
	dir      string   // working directory
	private  string   // folder of the instance
	shim     string   // program that becomes the service's
	parent   int      // process that holds the instance
	cgroup   string   // v2
	cgroups  []string
	output   keeper.Output
	inherit  []string // environment of the master
	notify   string   // path of the notify socket; empty: there is none
	sockets  []string // names of the sockets that the instance inherits
	kept     []string // their names at the keeper
}

// launch is what the shim has to do.
func (p plan) launch() launch.Spec {
	s := launch.Spec{
		Keeper:  p.parent,
		Dir:     p.dir,
		Program: p.program, Args: append([]string{p.spec.Name}, p.args...), Env: p.environ(),
		Listen: p.sockets,
		UID:    p.account.uid, GID: p.account.gid, Groups: p.account.groups,
		Capabilities: p.account.capabilities,
		Privileged:   p.account.privileged,
		Cgroups:      p.cgroups,
		Umask:        p.account.umask,
	}
	if p.view != nil {
		s.Hidden, s.Binds, s.ReadOnly = p.view.hidden, p.view.binds, p.view.readonly
		s.ReadOnlyRoot = p.view.root
		s.PrivateTmp = p.account.own()
		s.PrivateIPC = p.account.own() && p.ownIPC
		s.HideProc = p.account.own() && p.hideProc
	}
	return s
}

// keeper is what the keeper has to start. The shim, which is root at first, gets no environment: LD_PRELOAD and GODEBUG
// are variables too. It begins at /, and enters the working directory itself: there may be a mount that hangs, and then
// the thread of the keeper that forks would wait for it, and every other start with it.
func (p plan) keeper() (keeper.Spec, error) {
	data, err := p.launch().Encode()
	if err != nil {
		return keeper.Spec{}, err
	}
	return keeper.Spec{
		Handle: p.spec.Handle,
		Path:   p.shim,
		Args:   []string{"baetyl", launch.Arg},
		Dir:    "/",
		Launch: data,
		Kept:   p.kept,
		Cgroup: p.cgroup, Cgroups: p.cgroups,
		Grace:  p.service.Stop.Grace,
		Output: p.output,
	}, nil
}

// environ is the environment of the process: what it inherits of the master, what the engine says, and the variables of
// the instance, which win.
func (p plan) environ() []string {
	all := inherited(p.inherit)
	if p.account.own() {
		// Those of the master's user lead into folders of another one.
		delete(all, "TMPDIR")
		delete(all, "SHELL")
		all["HOME"], all["USER"], all["LOGNAME"] = p.dir, p.service.Name, p.service.Name
	}
	for k, v := range p.spec.Env {
		all[k] = v
	}
	all[masterapi.EnvRunDir] = p.private
	all["PWD"] = p.dir
	delete(all, envNotify)
	if p.notify != "" {
		all[envNotify] = p.notify
	}
	out := make([]string, 0, len(all))
	for k, v := range all {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return out
}
