package main

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gopkg.in/yaml.v2"

	"github.com/baetyl/baetyl/protocol/cloud"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/cert"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/file"
)

// keepReports is how many reports of a device are kept.
const keepReports = 20

// store is the folder of a cloud. Commands and `serve` use it at once: each file has one writer, and is replaced in
// one go.
//
//	cloud.yml, ca.*, server.*, cloud.*       settings; certificates of the CA, of the server, of the publisher
//	hub/                                     what the hub keeps
//	devices/<name>/cert.pem                  the device's certificate; its key went with the agent's configuration
//	devices/<name>/packages/<sha256>.zip     what the device may download
//	devices/<name>/pushes/<trace>.json       the event of an update
//	devices/<name>/state.json                what the device has reported; written by serve alone
type store struct {
	settings
	dir string
	mu  sync.Mutex // guards state.json within serve
}

// settings is cloud.yml.
type settings struct {
	Host  []string `yaml:"host" validate:"nonzero"`           // names and addresses of this machine; devices use the first
	MQTT  int      `yaml:"mqtt" validate:"min=1, max=65535"`  // port of MQTT over TLS
	HTTPS int      `yaml:"https" validate:"min=1, max=65535"` // port of HTTPS
}

// state is what serve knows of a device.
type state struct {
	Reports []report             // the last ones, oldest first
	Updates map[string]*progress // by trace
}

type report struct {
	Time    time.Time // when it came
	Content json.RawMessage
}

// progress is what became of an update.
type progress struct {
	Published time.Time        // last time; zero: not yet
	Steps     []cloud.Progress // as reported
}

// final returns the step that ended the update. Of several the last counts: a device that was slow may finish after
// its TIMEOUT.
func (p *progress) final() (cloud.Progress, bool) {
	for _, s := range slices.Backward(p.Steps) {
		if masterapi.Final(s.Step) {
			return s, true
		}
	}
	return cloud.Progress{}, false
}

// initStore makes the folder. The settings are written last: without them there is no cloud.
func initStore(dir string, s settings) error {
	for _, h := range s.Host {
		if net.ParseIP(h) == nil && strings.ContainsAny(h, ":/ ") || h == "" {
			return fmt.Errorf("host: %q is neither a name nor an address", h)
		}
	}
	path := filepath.Join(dir, "cloud.yml")
	if file.Exists(path) {
		return fmt.Errorf("%s is there already; remove the folder to begin anew, with all its devices", path)
	}
	if err := os.MkdirAll(filepath.Join(dir, "devices"), 0o700); err != nil {
		return err
	}
	ca, err := cert.Issue(cert.Authority("baetyl cloud CA"), nil, nil)
	if err != nil {
		return err
	}
	// the publisher comes over localhost
	server, err1 := cert.Issue(cert.ForServer(s.Host[0], append(s.Host, "localhost")...), nil, ca)
	own, err2 := cert.Issue(cert.ForClient(publisher), nil, ca)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	for name, pair := range map[string]*tls.Certificate{"ca": ca, "server": server, "cloud": own} {
		if err := cert.Write(filepath.Join(dir, name), pair); err != nil {
			return err
		}
	}
	data, err := yaml.Marshal(s)
	if err != nil {
		return err
	}
	return file.WriteAtomic(path, data, 0o600)
}

func openStore(dir string) (*store, error) {
	s := &store{dir: dir}
	err := conf.Load(s.path("cloud.yml"), &s.settings)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("there is no cloud in %s: make one with `cloud init`, or name its folder with --data", dir)
	}
	return s, err
}

func (s *store) path(parts ...string) string {
	return filepath.Join(append([]string{s.dir}, parts...)...)
}

func (s *store) device(name string, parts ...string) string {
	return s.path(append([]string{"devices", name}, parts...)...)
}

// address is what devices connect to.
func (s *store) address(scheme string, port int) string {
	return scheme + "://" + net.JoinHostPort(s.Host[0], strconv.Itoa(port))
}

// pushes returns the updates of a device, oldest first: traces begin with a number.
func (s *store) pushes(device string) ([]cloud.OTA, error) {
	entries, err := os.ReadDir(s.device(device, "pushes"))
	if err != nil {
		return nil, err
	}
	var out []cloud.OTA
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		data, err := os.ReadFile(s.device(device, "pushes", e.Name()))
		if err != nil {
			return nil, err
		}
		event, err := cloud.Parse(data)
		if err != nil {
			return nil, fmt.Errorf("read push %s: %w", e.Name(), err)
		}
		out = append(out, event.OTA)
	}
	return out, nil
}

// state reads what is known of a device. Every update has an entry.
func (s *store) state(device string) (state, []cloud.OTA, error) {
	var out state
	data, err := os.ReadFile(s.device(device, "state.json"))
	if err == nil {
		err = json.Unmarshal(data, &out)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return out, nil, fmt.Errorf("read state of %s: %w", device, err)
	}
	pushes, err := s.pushes(device)
	all := map[string]*progress{}
	for _, p := range pushes {
		if all[p.Trace] = out.Updates[p.Trace]; all[p.Trace] == nil {
			all[p.Trace] = &progress{}
		}
	}
	out.Updates = all
	return out, pushes, err
}

// change changes what is known of a device, on disk.
func (s *store) change(device string, change func(*state)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, _, err := s.state(device)
	if err != nil {
		return err
	}
	change(&st)
	data, err := json.Marshal(st)
	if err != nil {
		return err
	}
	return file.WriteAtomic(s.device(device, "state.json"), data, 0o600)
}
