//go:build e2e

package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// instance is what inspect says of one instance, as far as the documents name it.
type instance struct {
	Name      string
	Status    string
	Process   struct{ ID int }
	Container struct{ ID, Name string }
	all       json.RawMessage
}

func (i *instance) UnmarshalJSON(data []byte) error {
	type plain instance
	i.all = append(json.RawMessage(nil), data...)
	return json.Unmarshal(data, (*plain)(i))
}

// account is what a service calls the master with.
type account struct{ service, token string }

// accounts finds the credentials of the services that the master has started, as only the same user can.
func (s *system) accounts() []account {
	var out []account
	for _, p := range s.processes() {
		environ, _ := os.ReadFile("/proc/" + strconv.Itoa(p.pid) + "/environ")
		for _, e := range strings.Split(string(environ), "\x00") {
			if value, ok := strings.CutPrefix(e, masterapi.EnvServiceToken+"="); ok && value != "" {
				out = append(out, account{p.service, value})
			}
		}
	}
	return out
}

// api calls the master as a service that may do so and returns status and body.
func (s *system) api(method, path, body string) (status int, answer []byte, err error) {
	err = errors.New("no service with a token runs")
	for _, a := range s.accounts() {
		if status, answer, err = s.call(a, method, path, body); status != http.StatusForbidden {
			break
		}
	}
	return status, answer, err
}

// asPerson calls the master as a person does.
func (s *system) asPerson(method, path, body string) (int, []byte, error) {
	return s.request(masterapi.AdminSocket, account{}, method, path, body)
}

// call calls the master with the credentials of a.
func (s *system) call(a account, method, path, body string) (int, []byte, error) {
	return s.request("var/run/baetyl.sock", a, method, path, body)
}

func (s *system) request(socket string, a account, method, path, body string) (int, []byte, error) {
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", s.path(socket))
		},
	}}
	req, err := http.NewRequest(method, "http://baetyl"+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set(masterapi.HeaderUsername, a.service)
	req.Header.Set(masterapi.HeaderPassword, a.token)
	res, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	return res.StatusCode, data, err
}

// inspectRaw is the answer of masterapi.RouteInspect.
func (s *system) inspectRaw() ([]byte, error) {
	status, data, err := s.api(http.MethodGet, masterapi.PathInspect, "")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("inspect answers %d: %s", status, data)
	}
	return data, err
}

// instances returns what inspect shows of a service.
func (s *system) instances(service string) ([]instance, error) {
	data, err := s.inspectRaw()
	if err != nil {
		return nil, err
	}
	var report struct {
		Services []struct {
			Name      string
			Instances []instance
		}
	}
	if err := json.Unmarshal(data, &report); err != nil {
		return nil, fmt.Errorf("inspect answers %s: %w", data, err)
	}
	for _, one := range report.Services {
		if one.Name == service {
			return one.Instances, nil
		}
	}
	return nil, nil
}

// waitStatus waits until inspect shows count instances of a service with that status, and returns them.
func (s *system) waitStatus(service, status string, count int) []instance {
	s.t.Helper()
	var found []instance
	s.eventually(fmt.Sprintf("inspect shows %d instances of %s as %s", count, service, status), func() error {
		all, err := s.instances(service)
		if err != nil {
			return err
		}
		found = nil
		for _, i := range all {
			if i.Status == status {
				found = append(found, i)
			}
		}
		if len(found) != count {
			return fmt.Errorf("inspect shows %d instances: %s", len(all), describe(all))
		}
		return nil
	})
	return found
}

func describe(all []instance) string {
	var b strings.Builder
	for _, i := range all {
		b.Write(i.all)
	}
	return b.String()
}
