package baetyl

import (
	"context"
	"errors"
	"fmt"
	"net"
	nethttp "net/http"
	"os"
	"strings"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/cert"
	"github.com/baetyl/baetyl/utils/conf"
)

// ErrNoMaster is the answer of every call that needs the master when the environment names none: the module was not
// started by a master.
var ErrNoMaster = errors.New("no master: environment variable " + masterapi.EnvAPIAddress + " is not set")

// Master is the client of the master's API. An answer of the master that is no success is an *http.Error of
// protocol/http. One to a call that is not allowed, status 403, names the line of application.yml that would allow it.
// The end of a call's context ends the call; the master may go on with what it was asked.
type Master struct {
	client   *http.Client
	service  string // whose token this is
	token    bool   // this instance has one
	isolated bool   // it runs in a container, which sees the socket of the master only with a right
}

// NewMaster makes the client from the environment that the master gives to its services. It does not connect.
func NewMaster() (*Master, error) {
	address := masterapi.Getenv(masterapi.EnvAPIAddress)
	if address == "" {
		return nil, ErrNoMaster
	}
	service, token := masterapi.Getenv(masterapi.EnvServiceName), masterapi.Getenv(masterapi.EnvServiceToken)
	c, err := http.NewClient(http.ClientConfig{
		Address: address, Username: service, Password: conf.Secret(token), Config: certificates(address),
	})
	if err != nil {
		return nil, fmt.Errorf("environment variable %s: %w", masterapi.EnvAPIAddress, err)
	}
	return &Master{
		client: c, service: service, token: token != "",
		isolated: masterapi.Getenv(masterapi.EnvServiceMode) == masterapi.ModeDocker,
	}, nil
}

// explain adds to err, of a call of route, what the master could not say: that this instance has no token, or that its
// container has no socket.
func (m *Master) explain(route masterapi.Route, err error) error {
	var answer *http.Error
	noSocket := m.isolated && errors.Is(err, os.ErrNotExist)
	switch {
	case !m.token && (noSocket || errors.As(err, &answer) && answer.Status == nethttp.StatusUnauthorized):
		return fmt.Errorf("%w: this instance has no token, since it was started on demand: only the instances that the "+
			"master starts by itself (replica: of service %s in application.yml) may %s", err, m.service, route.Does)
	case noSocket:
		return fmt.Errorf("%w: the containers of a service that may do nothing have no socket of the master: "+
			"write %s at service %s in application.yml", err, app.Line(app.With(nil, route.Right, "")), m.service)
	}
	return err
}

// certificates are those for an API with TLS. Others have none: a tcp address with certificates would mean TLS.
func certificates(address string) cert.Config {
	if !strings.HasPrefix(address, "https://") {
		return cert.Config{}
	}
	return cert.Config{
		CA: os.Getenv(masterapi.EnvAPICA), Cert: os.Getenv(masterapi.EnvAPICert), Key: os.Getenv(masterapi.EnvAPIKey),
	}
}

// Inspect returns the report of the system.
func (m *Master) Inspect(ctx context.Context) (*Inspect, error) {
	out := new(Inspect)
	if err := m.client.Get(ctx, masterapi.PathInspect, out); err != nil {
		return nil, fmt.Errorf("inspect system: %w", m.explain(masterapi.RouteInspect, err))
	}
	return out, nil
}

// Update asks for an update of the application or the master; it returns before the update is done.
func (m *Master) Update(ctx context.Context, trace, kind, path string) error {
	return m.RequestUpdate(ctx, UpdateRequest{Type: kind, Path: path, Trace: trace})
}

// RequestUpdate is Update with all that a request can say.
func (m *Master) RequestUpdate(ctx context.Context, r UpdateRequest) error {
	if err := m.client.Put(ctx, masterapi.PathUpdate, r, nil); err != nil {
		return fmt.Errorf("update system: %w", m.explain(masterapi.RouteUpdate, err))
	}
	return nil
}

// AvailablePort returns a TCP port of the host that no process uses.
func (m *Master) AvailablePort(ctx context.Context) (string, error) {
	var out masterapi.PortAvailable
	if err := m.client.Get(ctx, masterapi.PathPortAvailable, &out); err != nil {
		return "", fmt.Errorf("get available port: %w", m.explain(masterapi.RoutePorts, err))
	}
	if out.Port == "" {
		return "", errors.New("get available port: invalid response, port not found")
	}
	return out.Port, nil
}

// Address returns where an instance of a service listens that this service starts next: unix:<path>, of a socket that
// nobody else reaches, or host:port where the program of that service, or the master, knows no such sockets.
func (m *Master) Address(ctx context.Context, service, instance string) (string, error) {
	var out masterapi.PortAvailable
	if err := m.client.Get(ctx, masterapi.PathAddress(service, instance), &out); err != nil {
		return "", fmt.Errorf("get address of instance: %w", m.explain(masterapi.RoutePorts, err))
	}
	switch {
	case out.Address != "":
		return out.Address, nil
	case out.Port == "":
		return "", errors.New("get address of instance: invalid response, neither address nor port found")
	}
	return net.JoinHostPort("127.0.0.1", out.Port), nil
}

// Report sets numbers of an instance.
func (m *Master) Report(ctx context.Context, service, instance string, stats map[string]any) error {
	if err := m.client.Put(
		ctx,
		masterapi.PathInstance(service, instance, masterapi.ActionReport),
		stats,
		nil,
	); err != nil {
		return fmt.Errorf("report instance %s of service %s: %w", instance, service, m.explain(masterapi.RouteReport, err))
	}
	return nil
}

// StartInstance starts an instance of a service, in place of one with the same name, with env added to its environment:
// BAETYL_…, and what accept_env of the service lists.
func (m *Master) StartInstance(ctx context.Context, service, instance string, env map[string]string) error {
	if env == nil {
		env = map[string]string{}
	}
	if err := m.client.Put(ctx, masterapi.PathInstance(service, instance, masterapi.ActionStart), env, nil); err != nil {
		return fmt.Errorf("start instance %s of service %s: %w", instance, service, m.explain(masterapi.RouteStart, err))
	}
	return nil
}

// StopInstance stops an instance of a service.
func (m *Master) StopInstance(ctx context.Context, service, instance string) error {
	return m.stop(ctx, service, instance, "")
}

// KillInstance is StopInstance for an instance that hangs: it gets no time to end by itself. A master of version
// 1.0.0-rc.1 stops it as StopInstance does.
func (m *Master) KillInstance(ctx context.Context, service, instance string) error {
	return m.stop(ctx, service, instance, "?"+masterapi.QueryKill+"=true")
}

func (m *Master) stop(ctx context.Context, service, instance, query string) error {
	path := masterapi.PathInstance(service, instance, masterapi.ActionStop) + query
	if err := m.client.Put(ctx, path, nil, nil); err != nil {
		return fmt.Errorf("stop instance %s of service %s: %w", instance, service, m.explain(masterapi.RouteStop, err))
	}
	return nil
}
