package app

import (
	"errors"
	"fmt"
	"net"
	"path"
	"strings"
)

// Action is what a probe does; one of them is given.
type Action struct {
	Exec *ProbeExec `yaml:"exec,omitempty" json:"exec,omitempty"`
	HTTP *ProbeHTTP `yaml:"http,omitempty" json:"http,omitempty"`
	TCP  *ProbeTCP  `yaml:"tcp,omitempty" json:"tcp,omitempty"`
	MQTT *ProbeMQTT `yaml:"mqtt,omitempty" json:"mqtt,omitempty"`
	GRPC *ProbeGRPC `yaml:"grpc,omitempty" json:"grpc,omitempty"`
}

// ProbeExec runs a command in the instance: status 0 is success.
type ProbeExec struct {
	Command []string `yaml:"command" json:"command"` // program and arguments; no shell
}

// Endpoint is where an instance listens.
type Endpoint struct {
	Port int `yaml:"port,omitempty" json:"port,omitempty"`
	// IP address in place of the instance's own: that of its container, or 127.0.0.1 in native mode and with
	// network_mode: host
	Address string `yaml:"address,omitempty" json:"address,omitempty"`
	// name of a unix socket in the run folder of the instance (BAETYL_SERVICE_RUN_DIR), in place of a port
	Socket string `yaml:"socket,omitempty" json:"socket,omitempty"`
}

// ProbeHTTP sends GET. A redirect is an answer, and nobody follows it.
type ProbeHTTP struct {
	Endpoint `yaml:",inline"`
	Path     string `yaml:"path,omitempty" json:"path,omitempty"` // with its query; empty: /
	Host     string `yaml:"host,omitempty" json:"host,omitempty"` // header; empty: the address
	// empty: http. With https no certificate is checked: the probe asks whether the service works, not who it is
	Scheme string `yaml:"scheme,omitempty" json:"scheme,omitempty" validate:"oneof=http|https"`
	Status []int  `yaml:"status,omitempty" json:"status,omitempty"` // that are success; empty: 200 to 399
}

// ProbeTCP connects.
type ProbeTCP struct {
	Endpoint `yaml:",inline"`
}

// ProbeMQTT sends CONNECT of MQTT 3.1.1 without a user. Every answer is success but
// that the server is not available: a broker that refuses works.
type ProbeMQTT struct {
	Endpoint `yaml:",inline"`
	TLS      bool `yaml:"tls,omitempty" json:"tls,omitempty"` // no certificate is checked
}

// ProbeGRPC calls grpc.health.v1.Health/Check: SERVING is success.
type ProbeGRPC struct {
	Endpoint `yaml:",inline"`
	Service  string `yaml:"service,omitempty" json:"service,omitempty"` // that is asked for; empty: the whole server
	TLS      bool   `yaml:"tls,omitempty" json:"tls,omitempty"`         // no certificate is checked
}

const actionKinds = "exec, http, tcp, mqtt or grpc"

// kinds returns the keys that are given.
func (a Action) kinds() (keys []string) {
	for _, k := range []struct {
		key   string
		given bool
	}{
		{"exec", a.Exec != nil}, {"http", a.HTTP != nil}, {"tcp", a.TCP != nil}, {"mqtt", a.MQTT != nil},
		{"grpc", a.GRPC != nil},
	} {
		if k.given {
			keys = append(keys, k.key)
		}
	}
	return keys
}

// Endpoint returns where the action is aimed; false: it is a command.
func (a Action) Endpoint() (Endpoint, bool) {
	switch {
	case a.HTTP != nil:
		return a.HTTP.Endpoint, true
	case a.TCP != nil:
		return a.TCP.Endpoint, true
	case a.MQTT != nil:
		return a.MQTT.Endpoint, true
	case a.GRPC != nil:
		return a.GRPC.Endpoint, true
	}
	return Endpoint{}, false
}

func (a Action) check() error {
	keys := a.kinds()
	switch len(keys) {
	case 0:
		return fmt.Errorf("exec: must not be empty; a probe has one of %s", actionKinds)
	case 1:
	default:
		return fmt.Errorf("%s: there is %s too; a probe does one of them", keys[1], keys[0])
	}
	if e, ok := a.Endpoint(); ok {
		if err := e.check(); err != nil {
			return fmt.Errorf("%s.%w", keys[0], err)
		}
	}
	switch {
	case a.Exec != nil:
		if len(a.Exec.Command) == 0 || a.Exec.Command[0] == "" {
			return errors.New("exec.command: must not be empty; write [program, argument…]")
		}
		for i, arg := range a.Exec.Command {
			if strings.ContainsRune(arg, 0) {
				return fmt.Errorf("exec.command[%d]: %q contains a NUL", i, arg)
			}
		}
	case a.HTTP != nil:
		return a.HTTP.check()
	case a.GRPC != nil:
		if strings.ContainsAny(a.GRPC.Service, "\x00\r\n") || len(a.GRPC.Service) > maxText {
			return fmt.Errorf("grpc.service: %q is no name of a service", clip(a.GRPC.Service))
		}
	}
	return nil
}

// maxText is how long a text of a probe may be that goes over the net.
const maxText = 1024

func clip(s string) string { return s[:min(len(s), maxText)] }

func (e Endpoint) check() error {
	if e.Socket != "" {
		if e.Port != 0 || e.Address != "" {
			return errors.New("socket: there is a port or an address too; keep one of them")
		}
		if path.Base(e.Socket) != e.Socket || strings.ContainsRune(e.Socket, 0) || e.Socket == ".." || e.Socket == "." {
			return fmt.Errorf("socket: %q: write the name of a socket in the folder of the instance, without a path", e.Socket)
		}
		return nil
	}
	if e.Port < 1 || e.Port > 65535 {
		return fmt.Errorf("port: %d: write a port from 1 to 65535", e.Port)
	}
	if e.Address != "" && net.ParseIP(e.Address) == nil {
		return fmt.Errorf("address: %q is not an IP address", e.Address)
	}
	return nil
}

func (h ProbeHTTP) check() error {
	if len(h.Path) > maxText || h.Path != "" && h.Path[0] != '/' || strings.ContainsFunc(h.Path, notInPath) {
		return fmt.Errorf("http.path: %q: write a path such as /healthz, of printable ASCII without blanks", clip(h.Path))
	}
	if len(h.Host) > maxText || strings.ContainsFunc(h.Host, notInPath) || strings.ContainsAny(h.Host, "/?#@") {
		return fmt.Errorf("http.host: %q is not the name of a host", clip(h.Host))
	}
	for i, s := range h.Status {
		if s < 100 || s > 599 {
			return fmt.Errorf("http.status[%d]: %d: write a status from 100 to 599", i, s)
		}
	}
	return nil
}

func notInPath(r rune) bool { return r <= ' ' || r > '~' }
