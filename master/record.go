package master

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/baetyl/baetyl/master/events"
	"github.com/baetyl/baetyl/master/logs"
	"github.com/baetyl/baetyl/master/service"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// Events are what has happened, for readers at their own pace.
func (m *Master) Events() *events.Ring { return m.events }

// eventsFile is where events are kept from one master to the next, relative to the working directory.
const eventsFile = "var/log/baetyl/events.log"

// keepEvents reads those of earlier masters; done writes what is left.
func (m *Master) keepEvents() (done func()) {
	if err := m.events.Keep(filepath.Join(m.opts.Workdir, eventsFile)); err != nil {
		m.opts.Log.WithError(err).Warnf("events of earlier masters are not shown")
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = m.events.Close(ctx) // a disk that does not take them costs the last ones
	}
}

// Logs checks q and returns what reads it. Without names it is about all services of the application, and about the
// master when there is none. A service that has left the application is known as long as its files are there:
// service.ErrNotFound.
func (m *Master) Logs(q logs.Query) (func(context.Context, func(masterapi.LogLine) error) error, error) {
	known := m.services.Names()
	if path := m.cfg.Logger.Path; path != "" {
		q.Master = inDir(m.opts.Workdir, path)
	}
	if len(q.Services) == 0 {
		q.Services = known
	}
	for n, name := range q.Services {
		switch {
		case slices.Contains(q.Services[:n], name):
			return nil, fmt.Errorf("%w: service %s is named twice", service.ErrInvalid, name)
		case !isName(name):
			return nil, fmt.Errorf("service (%s) %w", name, service.ErrNotFound)
		case slices.Contains(known, name), m.logs.Has(name):
			if name == masterapi.ServiceMaster {
				q.Master = "" // the service has its name for itself
			}
		case name == masterapi.ServiceMaster && q.Master != "":
		case name == masterapi.ServiceMaster:
			const text = "the log of the master is on its console, as of journalctl -u baetyl: logger.path in conf.yml " +
				"names a file for it; %w"
			return nil, fmt.Errorf(text, service.ErrNotFound)
		default:
			return nil, fmt.Errorf("service (%s) %w, and there is no log of it", name, service.ErrNotFound)
		}
	}
	return func(ctx context.Context, send func(masterapi.LogLine) error) error { return m.logs.Read(ctx, q, send) }, nil
}

// isName tells whether name could be that of a service, so that the path of its log stays where logs are.
func isName(name string) bool {
	return name != "" && !slices.ContainsFunc([]byte(name), func(c byte) bool {
		return c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z')
	})
}
