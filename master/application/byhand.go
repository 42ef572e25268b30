package application

import (
	"context"
	"fmt"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// StopService is that of service.Manager, as StartService and RestartService. The goroutine that changes the
// application calls them.
func (a *Application) StopService(name string, by masterapi.By) error {
	return a.opts.Services.StopService(name, by)
}

// StartService is described at StopService.
func (a *Application) StartService(ctx context.Context, name string) error {
	return a.opts.Services.StartService(ctx, name)
}

// RestartService is described at StopService.
func (a *Application) RestartService(ctx context.Context, name string) error {
	return a.opts.Services.RestartService(ctx, name)
}

// Stopped are the services that are stopped by hand. It may be called from any goroutine.
func (a *Application) Stopped() map[string]*masterapi.Stopped { return a.opts.Services.Stopped() }

// Check names the services of c that cannot start on this host. It changes nothing, and may be called from any
// goroutine.
func (a *Application) Check(c *app.Config) (out []string) {
	for _, s := range c.Services {
		if err := a.opts.Engine.Check(ServiceOf(c, s)); err != nil {
			out = append(out, fmt.Sprintf("service %s cannot start: %s", s.Name, err))
		}
	}
	return out
}
