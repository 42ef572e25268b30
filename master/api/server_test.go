//go:build linux

package api_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/api"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/log"
)

// envCall makes this program call the socket that it names, as another user.
const envCall = "BAETYL_TEST_CALL"

func TestMain(m *testing.M) {
	if address := os.Getenv(envCall); address != "" {
		c, err := http.NewClient(http.ClientConfig{
			Address: address, Username: os.Getenv("CALLER"), Password: conf.Secret(os.Getenv("TOKEN")), Timeout: time.Minute,
		})
		if err == nil {
			err = c.Get(context.Background(), masterapi.PathPortAvailable, nil)
		}
		fmt.Println("answer:", err)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// person is a user of the host, with the groups that its process has.
type person struct {
	uid, gid int
	groups   []int
}

// call calls the API as p, in a process of that user.
func call(t *testing.T, p person, address, name, token string) string {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{envCall + "=" + address, "CALLER=" + name, "TOKEN=" + token}
	cmd.Dir = "/"
	credential := &syscall.Credential{Uid: uint32(p.uid), Gid: uint32(p.gid)}
	for _, g := range p.groups {
		credential.Groups = append(credential.Groups, uint32(g))
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	return string(out)
}

// sockets is a server of both sockets, in a folder that every user may enter.
type sockets struct {
	service, admin string // addresses
	log            *lines
	stop           func()
}

// lines keeps what is logged.
type lines struct{ path string }

func (l lines) text(t *testing.T) string {
	data, err := os.ReadFile(l.path)
	require.NoError(t, err)
	return string(data)
}

func serveSockets(t *testing.T, r *rig, group string) sockets {
	dir, err := os.MkdirTemp("", "ba")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	l := log.New(log.Config{Path: filepath.Join(dir, "log"), Level: "debug"})
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	out := sockets{
		service: "unix://" + dir + "/var/run/baetyl.sock", admin: "unix://" + filepath.Join(dir, masterapi.AdminSocket),
		log: &lines{filepath.Join(dir, "log")},
	}
	s := api.NewServer(r.system, r.system, api.ServerOptions{
		Config: http.ServerConfig{Address: out.service}, Admin: filepath.Join(dir, masterapi.AdminSocket), Group: group,
		Service: func(uid int) bool { return uid >= 70000 && uid <= 74999 }, Log: l,
	})
	require.NoError(t, s.Listen())
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	out.stop = func() {
		cancel()
		require.NoError(t, <-done)
	}
	t.Cleanup(func() { cancel() })
	return out
}

// Real users, with real groups, at real sockets.
func TestWhoMayUseWhichSocket(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to become other users")
	}
	group, err := user.LookupGroupId("1")
	require.NoError(t, err)
	r := newRig(t)
	s := serveSockets(t, r, group.Name)
	defer s.stop()
	info, err := os.Stat(strings.TrimPrefix(s.admin, "unix://"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o660), info.Mode().Perm())
	require.Equal(t, uint32(1), info.Sys().(*syscall.Stat_t).Gid)
	info, err = os.Stat(filepath.Dir(strings.TrimPrefix(s.admin, "unix://")))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o755), info.Mode().Perm())

	many := make([]int, 3000) // of groups, more than fit into a first guess
	for i := range many {
		many[i] = 100000 + i
	}
	const ok, denied = "answer: <nil>", "permission denied"
	for name, c := range map[string]struct {
		person person
		want   string
	}{
		"root":                               {person{0, 0, nil}, ok},
		"root with another group":            {person{0, 4242, nil}, ok},
		"primary group":                      {person{4242, 1, nil}, ok},
		"one of its groups":                  {person{4242, 4242, []int{7, 1}}, ok},
		"the last of many groups":            {person{4242, 4242, append(many, 1)}, ok},
		"in no group":                        {person{4242, 4242, nil}, denied},
		"in other groups":                    {person{4242, 4242, many}, denied},
		"the user of a service":              {person{70001, 70001, nil}, denied},
		"the user of a service in the group": {person{74999, 1, nil}, "[403] uid 74999, pid "},
		"another one":                        {person{70000, 70000, []int{1}}, "is the user of a service"},
	} {
		require.Contains(t, call(t, c.person, s.admin, "", ""), c.want, name)
		// On the other socket a token is what counts, and nothing else.
		require.Contains(t, call(t, c.person, s.service, "all", r.tokens["all"]), ok, name)
		require.Contains(t, call(t, c.person, s.service, "all", "wrong"), "[401]", name)
		require.Contains(t, call(t, c.person, s.service, "", ""), "[401]", name)
	}

	// The mode of the file is not what protects.
	require.NoError(t, os.Chmod(strings.TrimPrefix(s.admin, "unix://"), 0o666))
	refused := call(t, person{4242, 4242, nil}, s.admin, "all", r.tokens["all"])
	require.Contains(t, refused, "[403] uid 4242, pid ")
	require.Contains(t, refused, "is not root, and not in group "+group.Name+" (server.group)")
	require.Regexp(t, `level=warning msg="request refused" api=admin caller="uid 4242, pid [0-9]+" error="uid 4242, pid `,
		s.log.text(t))
	require.Contains(t, s.log.text(t), `caller="uid 0, pid `)
	require.NotContains(t, s.log.text(t), r.tokens["all"])
}

// Without the group, root and the user of the master are all who are let in, which is said once.
func TestThereIsNoGroup(t *testing.T) {
	r := newRig(t)
	s := serveSockets(t, r, "no-such-group")
	defer s.stop()
	require.Equal(t, 1, strings.Count(s.log.text(t), "there is no group no-such-group (server.group): "+
		"only root and the user of this process can open the admin socket"))
	c, err := http.NewClient(http.ClientConfig{Address: s.admin})
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.Get(t.Context(), masterapi.PathPortAvailable, nil))
	if os.Geteuid() == 0 {
		require.NoError(t, os.Chmod(strings.TrimPrefix(s.admin, "unix://"), 0o666))
		wheel := call(t, person{4242, 0, nil}, s.admin, "", "")
		require.Contains(t, wheel, "[403]", "group 0 is not the group that is missing")
	}
}

// Whoever asks again and again, and is refused, fills no log.
func TestRefusalsFillNoLog(t *testing.T) {
	r := newRig(t)
	s := serveSockets(t, r, "")
	defer s.stop()
	for i := range 200 {
		c, err := http.NewClient(http.ClientConfig{
			Address: s.service, Username: fmt.Sprint(i, strings.Repeat("x", 10000)), Password: "y",
		})
		require.NoError(t, err)
		require.ErrorContains(t, c.Get(t.Context(), masterapi.PathPortAvailable, nil), "[401]")
		c.Close()
	}
	token := conf.Secret(r.tokens["none"])
	c, err := http.NewClient(http.ClientConfig{Address: s.service, Username: "none", Password: token})
	require.NoError(t, err)
	defer c.Close()
	require.ErrorContains(t, c.Get(t.Context(), masterapi.PathPortAvailable, nil), "[403]")
	text := s.log.text(t)
	require.Equal(t, 11, strings.Count(text, "request refused"), "ten of strangers, and one of a service")
	require.Less(t, len(text), 11*1000)
}
