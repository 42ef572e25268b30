package update

import (
	"fmt"
	"slices"

	"github.com/baetyl/baetyl/protocol/app"
)

// The remedy of an update that would take the way back.
const forceText = `. If that is meant, ask for the update with "force": true`

// lostWay tells how an update from one application to another would take the way back, empty when it would not: the
// service by, which asks for it, could not ask for the next one, or no agent could, or nobody. Empty, by is a person at
// the admin socket, who can ask whatever runs. But whoever manages the device by its agent cannot.
func lostWay(from, to *app.Config, by string) string {
	if by != "" {
		s, err := to.Service(by)
		switch {
		case err != nil:
			return fmt.Sprintf("it has no service %s, which asks for this update and could not ask for another one; keep it%s",
				by, forceText)
		case s.Replica == 0:
			return fmt.Sprintf("service %s, which asks for this update, would not run any more (replica: 0), and could not ask "+
				"for another one; give it replica: 1%s", by, forceText)
		case !mayUpdate(s):
			return fmt.Sprintf("service %s, which asks for this update, could not ask for another one: its right %q is gone; "+
				"add that to its api:%s", by, app.RightUpdate, forceText)
		}
	}
	for _, w := range []struct {
		is   func(app.Service) bool
		what string
	}{{isAgent, "agent"}, {canUpdate, "service"}} {
		if i := slices.IndexFunc(from.Services, w.is); i >= 0 && !slices.ContainsFunc(to.Services, w.is) {
			const text = "no %s would be left that may update the device, as service %s does now; keep one with replica: 1 " +
				"or more and the right %q%s"
			return fmt.Sprintf(text, w.what, from.Services[i].Name, app.RightUpdate, forceText)
		}
	}
	return ""
}

func mayUpdate(s app.Service) bool { return app.Has(s.Rights(), app.RightUpdate) }

// canUpdate tells whether instances of s, which have its token, may ask for an update.
func canUpdate(s app.Service) bool { return s.Replica > 0 && mayUpdate(s) }

// isAgent tells whether s is a module that has the right by its image alone, and has it.
func isAgent(s app.Service) bool { return canUpdate(s) && mayUpdate(app.Service{Image: s.Image}) }
