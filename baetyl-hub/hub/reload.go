package hub

import (
	"errors"
	"reflect"
	"time"

	"github.com/baetyl/baetyl/baetyl-hub/config"
	"github.com/baetyl/baetyl/baetyl-hub/core"
)

// Reload applies principals, static routes, certificates and log level of a new configuration: all of them, or none and
// an error. It closes only connections of users that are removed or changed, and those whose client certificate is
// not taken any more. Other keys take effect at the next start. It is called from one goroutine at a time.
func (h *Hub) Reload(cfg config.Config) error {
	users, err := cfg.Users()
	if err != nil {
		return err
	}
	secure, err := readSecrets(cfg.Certificate)
	if err != nil {
		return err
	}
	if secure == nil && h.tls.Load() != nil {
		return errors.New("certificate: can't be removed while the hub runs; restart it")
	}
	if !reflect.DeepEqual(cfg.Limits(), h.cfg.Limits()) {
		return errors.New("message.topic: can't be changed while the hub runs; restart it")
	}
	hadTLS := h.tls.Load() != nil
	h.tls.Store(secure)
	if hadTLS {
		h.listeners.Judge(secure.check)
		h.warnOfExpiry(time.Now())
	}
	routes := cfg.Routes()
	h.server.Do(func(k *core.Core) { k.SetRoutes(routes) })
	h.server.SetUsers(users)
	if l, ok := h.log.(interface{ SetLevel(string) }); ok {
		l.SetLevel(cfg.Logger.Level)
	}
	for _, w := range users.Warnings() {
		h.log.Warnf("%s", w)
	}
	h.log.Infof("configuration reloaded")
	h.expect(users)
	return nil
}
