//go:build linux

package native_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/native"
	"github.com/baetyl/baetyl/master/engine/native/user"
)

// Check says before a start what the start says: the kinds of what keeps a service from starting.
func TestCheckSaysWhatTheStartSays(t *testing.T) {
	const run = "var/db/baetyl/pkg-svc/bin/run"
	for name, c := range map[string]struct {
		change func(t *testing.T, h *host, s *engine.Service)
		want   string
	}{
		"nothing": {func(*testing.T, *host, *engine.Service) {}, ""},
		"not executable yet": {func(t *testing.T, h *host, _ *engine.Service) {
			require.NoError(t, os.Chmod(h.path(run), 0o644))
		}, ""},
		"missing package": {func(_ *testing.T, _ *host, s *engine.Service) { s.Image = "none" },
			"open lib/baetyl/none/package.yml: no such file or directory; mount the volume"},
		"pipe for a package": {func(t *testing.T, h *host, _ *engine.Service) {
			require.NoError(t, os.Remove(h.path("var/db/baetyl/pkg-svc/package.yml")))
			require.NoError(t, unix.Mkfifo(h.path("var/db/baetyl/pkg-svc/package.yml"), 0o600))
		}, "lib/baetyl/pkg/package.yml: is not a file"},
		"carriage return": {func(t *testing.T, h *host, _ *engine.Service) {
			h.write(t, run, "#!/bin/sh\r\n", 0o755)
		}, "ends with a carriage return"},
		"empty program": {func(t *testing.T, h *host, _ *engine.Service) { h.write(t, run, "", 0o755) }, "is empty"},
		"another processor": {func(t *testing.T, h *host, _ *engine.Service) {
			h.write(t, run, "\x7fELF\x02\x01\x01"+strings.Repeat("\x00", 9)+"\x02\x00\x02\x00"+strings.Repeat("\x00", 64), 0o755)
		}, "is for another processor, sparc"},
		"large argument": {func(_ *testing.T, _ *host, s *engine.Service) {
			s.Args = []string{strings.Repeat("x", 32*os.Getpagesize())}
		}, "args[0] has"},
		"NUL": {func(_ *testing.T, _ *host, s *engine.Service) { s.Args = []string{"a\x00b"} }, "has a zero byte"},
		"device of the host": {func(_ *testing.T, _ *host, s *engine.Service) {
			*s = with(*s, "dev", "/dev/full", "dev/x", false)
		}, "mount dev/x of volume dev: /dev/full is a device of the host"},
		"at the socket": {func(_ *testing.T, _ *host, s *engine.Service) {
			*s = with(*s, "v", "var/db/baetyl/v", "var/run/baetyl.sock", false)
		}, "lies inside socket of the API"},
		"over the socket's folder": {func(_ *testing.T, _ *host, s *engine.Service) {
			*s = with(*s, "v", "var/db/baetyl/v", "var/run", false)
		}, "socket of the API lies inside mount var/run"},
		"in another mount": {func(_ *testing.T, _ *host, s *engine.Service) {
			*s = with(with(*s, "v", "var/db/baetyl/v", "a", false), "w", "var/db/baetyl/w", "a/b", false)
		}, "mount a/b of volume w lies inside mount a of volume v"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, func(o *native.Options) { o.Socket = o.Workdir + "/var/run/baetyl.sock" })
			s := h.service(t, "svc", "exit 0")
			c.change(t, h, &s)
			before, err := os.ReadDir(h.path("."))
			require.NoError(t, err)
			mode := modeOf(t, h.path(run))
			said := h.Check(s)
			after, err := os.ReadDir(h.path("."))
			require.NoError(t, err)
			require.Len(t, after, len(before), "check makes nothing")
			require.Equal(t, mode, modeOf(t, h.path(run)), "check changes no mode")
			box, err := h.Open(t.Context(), s)
			if err == nil {
				defer func() { require.NoError(t, box.Close()) }()
				var i engine.Instance
				if i, err = box.Start(t.Context(), engine.Spec{Name: "svc"}); err == nil {
					kill(i)
				}
			}
			if c.want == "" {
				require.NoError(t, said)
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, said, c.want)
			require.ErrorContains(t, err, c.want, "the start says it too")
			require.ErrorContains(t, h.Prepare(t.Context(), s), c.want, "an update ends before anything is stopped")
		})
	}
}

func modeOf(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	return info.Mode()
}

// What lies in the folder that the master keeps for itself is no volume of a service.
func TestCheckOfTheMastersFolder(t *testing.T) {
	h := ownHost(t)
	for _, path := range []string{"var/run", "var/run/baetyl", "var/run/baetyl/services/x"} {
		s := with(h.service(t, "svc", "exit 0"), "v", path, "x", false)
		require.ErrorContains(t, h.Check(s), "holds what the master keeps for itself; take another folder", path)
	}
	s := with(h.service(t, "svc", "exit 0"), "v", "var/db/baetyl", "x", false)
	require.ErrorContains(t, h.Check(s), "it holds the volumes of all services")
	s.User = "root"
	require.NoError(t, h.Check(s))
}

// What the master reads and writes as root is given to no service: check and an update say so before the start does.
func TestCheckOfTheMastersFiles(t *testing.T) {
	h := ownHost(t)
	h.write(t, "var/db/baetyl/application.yml", "{}", 0o600)
	h.write(t, "var/log/baetyl/services/x.log", "", 0o640)
	for _, path := range []string{
		"var/db/baetyl/application.yml", "var/log/baetyl", "var/log/baetyl/services/x.log", "bin",
	} {
		s := with(h.service(t, "svc", "exit 0"), "v", path, "x", false)
		said := h.Check(s)
		require.ErrorContains(t, said, "it has files of the master, or is one of them", path)
		require.EqualError(t, h.Prepare(t.Context(), s), said.Error(), path)
		_, err := h.Open(t.Context(), s)
		require.EqualError(t, err, said.Error(), path)
		s.User = "root"
		require.NoError(t, h.Check(s), path)
	}
	s := with(h.service(t, "svc", "exit 0"), "v", "var/db/baetyl/application.yml", "x", true)
	require.NoError(t, h.Check(s))
	s.Uses = map[string]engine.Use{"v": {Owner: engine.Member{Service: "other"}}}
	require.ErrorContains(t, h.Check(s), "to other: it has files of the master")
}

// A user that this host does not have is no user of a service, and nothing is recorded to find that out.
func TestCheckOfUsers(t *testing.T) {
	h := ownHost(t, func(o *native.Options) {
		o.Users = func() (*user.Registry, error) { return nil, errors.New("check opens nothing") }
		o.CheckUser = func(text string) error { return user.Check(user.Options{Workdir: o.Workdir}, text) }
	})
	s := h.service(t, "svc", "exit 0")
	require.NoError(t, h.Check(s))
	for text, want := range map[string]string{
		"root": "", "12": "", "nobody-here": "this host has no such user", "root:no-group": "no-group",
	} {
		if s.User = text; want == "" {
			require.NoError(t, h.Check(s), text)
		} else {
			require.ErrorContains(t, h.Check(s), want)
		}
	}
}
