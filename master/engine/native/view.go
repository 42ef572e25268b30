//go:build unix

package native

import (
	"slices"
	"strings"

	"github.com/baetyl/baetyl/master/engine/folder"
	"github.com/baetyl/baetyl/master/engine/native/launch"
)

// view is what an instance sees of the host's files in its mount namespace. Each path has the place that it has on the
// host, so that the links of the service's directory lead there.
//
//	hidden    folders of the master that are empty in the namespace
//	binds     what is seen below them, what is read-only, and what lies below a folder that only root may enter: such a
//	          folder holds nothing else in the namespace (launch.Bind)
type view struct {
	hidden   []string
	binds    []launch.Bind
	readonly []string // see site
	root     bool     // see site
}

// site is what a view is made of. All paths are absolute and without links.
type site struct {
	masters  []string // folders of the master with what is not for every service
	covered  []string // folders that the namespace replaces anyway: /tmp
	never    []string // files and folders that no service sees, whatever it mounts
	links    []link
	own      []string      // folders of the service and the instance, writable
	programs []string      // folders with the interpreter, read-only
	readonly []string      // folders of the system that the service could write to
	root     bool          // the mount at / is read-only, for the links in it: /lib
	needed   []launch.Bind // what such a service sees below hidden folders all the same
	// closed tells whether the service's user may not enter a folder above path
	closed func(path string) bool
}

// see computes the view. It is a pure function of s.
func see(s site) view {
	var v view
	for _, l := range s.links {
		v.add(launch.Bind{Source: l.source, Target: l.source, ReadOnly: l.readonly && !writable(s.links, l.source)})
	}
	for _, p := range s.own {
		v.add(launch.Bind{Source: p, Target: p})
	}
	for _, p := range s.programs {
		if s.closed(p) {
			v.add(launch.Bind{Source: p, Target: p, ReadOnly: true})
		}
	}
	for _, b := range s.needed {
		v.add(b)
	}
	v.hidden, v.readonly, v.root = outermost(s.masters), s.readonly, s.root
	// The rest is seen as it is.
	v.binds = slices.DeleteFunc(v.binds, func(b launch.Bind) bool {
		return !b.ReadOnly && !folder.Within(b.Target, v.hidden...) && !folder.Within(b.Target, s.covered...) &&
			!v.inside(b) && !s.closed(b.Target)
	})
	// Outer paths first: a bind would cover what was bound below it before.
	slices.SortStableFunc(v.binds, func(a, b launch.Bind) int { return strings.Compare(a.Target, b.Target) })
	// What is bound itself needs no hiding.
	v.hidden = slices.DeleteFunc(v.hidden, func(h string) bool {
		return slices.ContainsFunc(v.binds, func(b launch.Bind) bool { return b.Target == h })
	})
	for _, p := range s.never {
		if !folder.Within(p, v.hidden...) || v.shows(p) {
			v.hidden = append(v.hidden, p)
		}
	}
	return v
}

// withoutReadOnly is v on a host that makes nothing read-only.
func (v view) withoutReadOnly() view {
	v.readonly, v.root, v.binds = nil, false, slices.Clone(v.binds)
	for i := range v.binds {
		v.binds[i].ReadOnly = false
	}
	return v
}

// add adds b. Of two with the same target the writable one holds.
func (v *view) add(b launch.Bind) {
	for i := range v.binds {
		if v.binds[i].Target == b.Target {
			v.binds[i].ReadOnly = v.binds[i].ReadOnly && b.ReadOnly
			return
		}
	}
	v.binds = append(v.binds, b)
}

// inside tells whether b lies in the read-only target of another bind.
func (v *view) inside(b launch.Bind) bool {
	return slices.ContainsFunc(v.binds, func(o launch.Bind) bool {
		return o.ReadOnly && o.Target != b.Target && folder.Within(b.Target, o.Target)
	})
}

// shows tells whether a bind shows path.
func (v *view) shows(path string) bool {
	return slices.ContainsFunc(v.binds, func(b launch.Bind) bool { return folder.Within(path, b.Target) })
}

// outermost drops paths that lie in others, and sorts the rest.
func outermost(paths []string) (out []string) {
	slices.Sort(paths)
	for _, p := range paths {
		if !folder.Within(p, out...) {
			out = append(out, p)
		}
	}
	return out
}
