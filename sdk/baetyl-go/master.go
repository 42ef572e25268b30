package baetyl

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/cert"
)

// ErrNoMaster is the answer of every call that needs the master when the environment names none: the module was not
// started by a master.
var ErrNoMaster = errors.New("no master: environment variable " + masterapi.EnvAPIAddress + " is not set")

// Master is the client of the master's API. An answer of the master that is no success is an *http.Error of
// protocol/http. The end of a call's context ends the call; the master may go on with what it was asked.
type Master struct{ client *http.Client }

// NewMaster makes the client from the environment that the master gives to its services. It does not connect.
func NewMaster() (*Master, error) {
	address := masterapi.Getenv(masterapi.EnvAPIAddress)
	if address == "" {
		return nil, ErrNoMaster
	}
	c, err := http.NewClient(
		http.ClientConfig{
			Address:  address,
			Username: masterapi.Getenv(masterapi.EnvServiceName),
			Password: masterapi.Getenv(masterapi.EnvServiceToken),
			Config:   certificates(address),
		},
	)
	if err != nil {
		return nil, fmt.Errorf("environment variable %s: %w", masterapi.EnvAPIAddress, err)
	}
	return &Master{c}, nil
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
		return nil, fmt.Errorf("inspect system: %w", err)
	}
	return out, nil
}

// Update asks for an update of the application or the master; it returns before the update is done.
func (m *Master) Update(ctx context.Context, trace, kind, path string) error {
	in := masterapi.UpdateRequest{Type: kind, Path: path, Trace: trace}
	if err := m.client.Put(ctx, masterapi.PathUpdate, in, nil); err != nil {
		return fmt.Errorf("update system: %w", err)
	}
	return nil
}

// AvailablePort returns a TCP port of the host that no process uses.
func (m *Master) AvailablePort(ctx context.Context) (string, error) {
	var out masterapi.PortAvailable
	if err := m.client.Get(ctx, masterapi.PathPortAvailable, &out); err != nil {
		return "", fmt.Errorf("get available port: %w", err)
	}
	if out.Port == "" {
		return "", errors.New("get available port: invalid response, port not found")
	}
	return out.Port, nil
}

// Report sets numbers of an instance.
func (m *Master) Report(ctx context.Context, service, instance string, stats map[string]any) error {
	if err := m.client.Put(
		ctx,
		masterapi.PathInstance(service, instance, masterapi.ActionReport),
		stats,
		nil,
	); err != nil {
		return fmt.Errorf("report instance %s of service %s: %w", instance, service, err)
	}
	return nil
}

// StartInstance starts an instance of a service, in place of one with the same name, with env added to its environment.
func (m *Master) StartInstance(ctx context.Context, service, instance string, env map[string]string) error {
	if env == nil {
		env = map[string]string{}
	}
	if err := m.client.Put(ctx, masterapi.PathInstance(service, instance, masterapi.ActionStart), env, nil); err != nil {
		return fmt.Errorf("start instance %s of service %s: %w", instance, service, err)
	}
	return nil
}

// StopInstance stops an instance of a service.
func (m *Master) StopInstance(ctx context.Context, service, instance string) error {
	if err := m.client.Put(ctx, masterapi.PathInstance(service, instance, masterapi.ActionStop), nil, nil); err != nil {
		return fmt.Errorf("stop instance %s of service %s: %w", instance, service, err)
	}
	return nil
}
