//go:build linux

package api_test

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/api"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/log"
)

// audited are the lines of the log about one path.
func audited(t *testing.T, s sockets, path string) (out []string) {
	for _, line := range strings.Split(s.log.text(t), "\n") {
		if strings.Contains(line+" ", " path="+path+" ") {
			out = append(out, line)
		}
	}
	return out
}

// Each call that changes something is one line, whoever makes it and whatever becomes of it.
func TestWhoChangedWhat(t *testing.T) {
	r := newRig(t)
	s := serveSockets(t, r, "")
	defer s.stop()
	as := func(address, name, token string) *http.Client {
		c, err := http.NewClient(http.ClientConfig{Address: address, Username: name, Password: conf.Secret(token)})
		require.NoError(t, err)
		t.Cleanup(c.Close)
		return c
	}
	person := as(s.admin, "", "")
	me := fmt.Sprintf("uid %d, pid %d", os.Geteuid(), os.Getpid())
	n := 0
	instance := func(action string) string {
		n++
		return masterapi.PathInstance("f", fmt.Sprint("f.", n), action)
	}
	type outcome struct {
		client *http.Client
		path   string
		body   any
		want   string // of the line
	}
	secret := map[string]string{"BAETYL_X": "s3cret"}
	preload := map[string]string{"LD_PRELOAD": "/s3cret.so"}
	all := as(s.service, "all", r.tokens["all"])
	served := `level=info msg="request served" api=server caller=all method=PUT outcome=done path=%s peer="` + me + `"$`
	refused := `level=warning msg="request refused" api=server caller=all error=".*application.yml" method=PUT ` +
		`outcome=refused path=%s peer="` + me + `" status=403$`
	for _, c := range []outcome{
		{all, instance("start"), secret, served},
		{all, instance("start"), preload, refused},
		{all, instance("stop"), nil, served},
		{all, masterapi.PathInstance("all", "all", "stop"), nil, refused},
		{person, instance("start"), secret,
			`level=info msg="request served" api=admin caller="` + me + `" method=PUT outcome=done path=%s$`},
		{person, instance("start"), preload,
			`level=warning msg="request refused" api=admin caller="` + me + `" error=".*" method=PUT outcome=refused path=%s status=403$`},
		{as(s.service, "none", r.tokens["none"]), instance("start"), secret,
			`level=warning msg="request refused" api=server caller=none error=".*" method=PUT outcome=refused path=%s peer="` +
				me + `" status=403$`},
		{as(s.service, "all", "s3cret"), instance("start"), secret,
			`level=warning msg="request refused" api=server caller=all error="account unauthorized" method=PUT outcome=refused ` +
				`path=%s peer="` + me + `" status=401$`},
		{person, masterapi.PathUpdate, masterapi.UpdateRequest{Path: "x"},
			`level=info msg="request served" api=admin caller="` + me + `" method=PUT outcome=done path=%s$`},
	} {
		err := c.client.Put(t.Context(), c.path, c.body, nil)
		require.Equal(t, strings.Contains(c.want, "outcome=done"), err == nil, "%s: %v", c.path, err)
		lines := audited(t, s, c.path)
		require.Len(t, lines, 1, c.path)
		require.Regexp(t, strings.Replace(c.want, "%s", regexp.QuoteMeta(c.path), 1), lines[0])
	}
	r.system.set(fmt.Errorf("disk full"), false)
	start := instance("start")
	require.Error(t, person.Put(t.Context(), start, secret, nil))
	lines := audited(t, s, start)
	require.Len(t, lines, 1)
	require.Regexp(t, `level=warning msg="request failed" .*error="disk full".* outcome=failed .*status=500$`, lines[0])
	text := s.log.text(t)
	require.NotContains(t, text, "s3cret")
	for _, token := range r.tokens {
		require.False(t, token != "" && strings.Contains(text, token))
	}
}

// Over TCP the kernel knows an address.
func TestPeerOverTCP(t *testing.T) {
	r := newRig(t)
	path := filepath.Join(t.TempDir(), "log")
	l := log.New(log.Config{Path: path})
	defer func() { require.NoError(t, l.Close()) }()
	q := httptest.NewRequestWithContext(t.Context(), "PUT", masterapi.PathInstance("f", "f.x", "stop"), nil)
	q.Header.Set(masterapi.HeaderUsername, "all")
	q.Header.Set(masterapi.HeaderPassword, r.tokens["all"])
	api.New(r.system, r.system, l).ServeHTTP(httptest.NewRecorder(), q)
	require.Contains(t, (&lines{path}).text(t), `caller=all method=PUT outcome=done `)
	require.Contains(t, (&lines{path}).text(t), `peer="192.0.2.1:1234"`)
}

// Whoever changes something again and again fills no log, and hides nothing of another kind behind it.
func TestChangesFillNoLog(t *testing.T) {
	r := newRig(t)
	s := serveSockets(t, r, "")
	defer s.stop()
	token := conf.Secret(r.tokens["all"])
	c, err := http.NewClient(http.ClientConfig{Address: s.service, Username: "all", Password: token})
	require.NoError(t, err)
	defer c.Close()
	for n := range 150 {
		require.NoError(t, c.Put(t.Context(), masterapi.PathInstance("f", fmt.Sprint("f.never", n), "stop"), nil, nil))
		require.Error(t, c.Put(t.Context(), masterapi.PathInstance("all", "all", "stop"), nil, nil))
		require.NoError(t, c.Put(t.Context(), masterapi.PathInstance("all", "all", "report"), map[string]int{"n": n}, nil))
	}
	require.NoError(t, c.Put(t.Context(), masterapi.PathInstance("f", "f.x", "start"), map[string]string{}, nil))
	text := s.log.text(t)
	info := strings.Count(text, "level=info msg=\"request served\"")
	require.Equal(t, 101, info, "a hundred stops, and the start")
	require.Equal(t, 10, strings.Count(text, "request refused"))
	require.Equal(t, 2, strings.Count(text, `more="left out for up to a minute"`), "one for each kind")
	require.Len(t, audited(t, s, masterapi.PathInstance("f", "f.x", "start")), 1)
}
