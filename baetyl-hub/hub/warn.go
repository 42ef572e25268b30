package hub

import (
	"context"
	"strings"

	"github.com/baetyl/baetyl/baetyl-hub/auth"
	"github.com/baetyl/baetyl/utils/addr"
)

// warnOfPasswords says once of each principal that its password is one out of the documents, if other hosts can reach a
// listener. It takes as long as a login of each principal, at the start and after each reload.
func (h *Hub) warnOfPasswords(ctx context.Context) error {
	warned := map[string]bool{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case users := <-h.passwords:
			for _, u := range users {
				if ctx.Err() == nil && !warned[u.Name] && u.MayAnything() && u.HasExamplePassword() {
					warned[u.Name] = true
					const text = "principal %s has a password out of the documents of Baetyl, which everybody knows, and other " +
						"hosts can reach %s: set another principals[].password, or listen on 127.0.0.1"
					h.log.Warnf(text, u.Name, strings.Join(h.exposed(), ", "))
				}
			}
		}
	}
}

// exposed lists the listeners that other hosts can reach.
func (h *Hub) exposed() (out []string) {
	for _, text := range h.cfg.Listen {
		if a, err := addr.Listen(text, addr.MQTT...); err == nil && !a.Local() {
			out = append(out, text)
		}
	}
	return out
}

// expect hands the principals of a configuration to warnOfPasswords, in place of those that it has not begun with. It
// is for one goroutine at a time.
func (h *Hub) expect(users *auth.Book) {
	if len(h.exposed()) == 0 {
		return
	}
	select {
	case <-h.passwords:
	default:
	}
	h.passwords <- users.All()
}
