package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// ErrNoAdmin means that no instance of a service serves persons now.
var ErrNoAdmin = errors.New("has no admin interface now")

// DialAdmin connects to the admin socket of a service: that of its first instance which has one. Errors: ErrNotFound,
// ErrNoAdmin with the reasons.
func (m *Manager) DialAdmin(ctx context.Context, name string) (net.Conn, error) {
	s, err := m.service(name)
	if err != nil {
		return nil, err
	}
	why := []string{"it has no instance"}
	for n, i := range s.list() {
		conn, err := m.DialInstance(ctx, name, i.name)
		if err == nil {
			return conn, nil
		}
		if n == 0 {
			why = nil
		}
		why = append(why, fmt.Sprintf("instance %s: %v", i.name, err))
	}
	const most = 3
	return nil, fmt.Errorf("service (%s) %w: %s; is it running (baetyl ps), is it a module with such an interface, "+
		"and is admin.address auto in its service.yml?", name, ErrNoAdmin, strings.Join(why[:min(len(why), most)], "; "))
}

// DialInstance connects to the admin socket of one instance. http.ErrAbsent: it has none.
func (m *Manager) DialInstance(ctx context.Context, service, instance string) (net.Conn, error) {
	folders, ok := m.opts.Engine.(engine.Folders)
	if !ok {
		return nil, fmt.Errorf("this engine knows none: %w", http.ErrAbsent)
	}
	return http.DialPrivate(ctx, folders.RunDir(service, instance), masterapi.ServiceAdmin)
}
