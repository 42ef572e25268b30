package hub

import (
	"crypto/tls"
	"errors"
	"fmt"
	"reflect"

	"github.com/baetyl/baetyl/baetyl-hub/auth"
	"github.com/baetyl/baetyl/baetyl-hub/config"
	"github.com/baetyl/baetyl/utils/cert"
)

// Reload applies principals, static routes, certificates and log level of a new configuration: all of them, or none and
// an error. It closes only connections of users that are removed or changed. Other keys take effect at the next start.
func (h *Hub) Reload(cfg config.Config) error {
	users, err := auth.New(cfg.Principals, cfg.Limits())
	if err != nil {
		return err
	}
	var secure *tls.Config
	if cfg.Certificate.Cert != "" {
		if secure, err = cert.Server(cfg.Certificate); err != nil {
			return fmt.Errorf("certificate: %w", err)
		}
	} else if h.tls.Load() != nil {
		return errors.New("certificate: can't be removed while the hub runs; restart it")
	}
	if !reflect.DeepEqual(cfg.Limits(), h.cfg.Limits()) {
		return errors.New("message.topic: can't be changed while the hub runs; restart it")
	}
	h.tls.Store(secure)
	h.router.SetStatic(cfg.Routes())
	h.sessions.SetUsers(users)
	if l, ok := h.log.(interface{ SetLevel(string) }); ok {
		l.SetLevel(cfg.Logger.Level)
	}
	h.log.Infof("configuration reloaded")
	return nil
}
