//go:build unix

package native_test

import (
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/enginetest"
)

// A failure of execve is explained in the same way with and without a shim. A failure of the shim itself is returned as
// it is.
func TestWhyAShimCannotStart(t *testing.T) {
	if exec.Command("unshare", "-m", "mount", "--bind", "/tmp", "/tmp").Run() != nil {
		t.Skip("this host does not let us mount")
	}
	h := newHost(t)
	h.write(t, "var/db/baetyl/conf/service.yml", "k: v\n", 0o644)
	s := with(h.service(t, "svc", "exit 0"), "conf", "var/db/baetyl/conf", "etc/baetyl", true)
	box, err := h.Open(t.Context(), s)
	require.NoError(t, err)
	defer func() { require.NoError(t, box.Close()) }()
	run := "var/db/baetyl/pkg-svc/bin/run"
	for content, want := range map[string]string{
		"#!/missing/python -u\n":          "interpreter /missing/python of run is not installed",
		"\x7fELF is no program, nor text": "exec format error",
	} {
		h.write(t, run, content, 0o755)
		_, err = box.Start(t.Context(), engine.Spec{Name: "svc"})
		require.ErrorContains(t, err, want)
	}
	require.NoError(t, os.RemoveAll(h.path("var/db/baetyl/conf")))
	_, err = box.Start(t.Context(), engine.Spec{Name: "svc"})
	require.ErrorContains(t, err, "var/db/baetyl/conf: no such file or directory")
	require.NotContains(t, err.Error(), "loader")
}

func TestPackages(t *testing.T) {
	const dir = "var/db/baetyl/pkg-svc/"
	for name, c := range map[string]struct {
		change func(t *testing.T, h *host, s *engine.Service)
		want   string
	}{
		"missing": {func(t *testing.T, h *host, s *engine.Service) { s.Image = "hub.baidubce.com/baetyl/cmd:0.1.2" },
			"open lib/baetyl/hub.baidubce.com/baetyl/cmd/0.1.2/package.yml: no such file or directory; mount the volume"},
		"image that leaves": {func(t *testing.T, h *host, s *engine.Service) { s.Image = "../../x" }, "image: path"},
		"no entry": {func(t *testing.T, h *host, s *engine.Service) { h.write(t, dir+"package.yml", "", 0o644) },
			"lib/baetyl/pkg/package.yml: entry: must not be empty"},
		"unknown key": {func(t *testing.T, h *host, s *engine.Service) { h.write(t, dir+"package.yml", "entri: x\n", 0o644) },
			`lib/baetyl/pkg/package.yml: entri: unknown key; did you mean "entry"?`},
		"entry that leaves": {func(t *testing.T, h *host, s *engine.Service) {
			h.write(t, dir+"package.yml", "entry: ../../../bin/sh\n", 0o644)
		}, "'..' is not allowed"},
		"entry is a link out": {func(t *testing.T, h *host, s *engine.Service) {
			require.NoError(t, os.Remove(h.path(dir+"bin/run")))
			require.NoError(t, os.Symlink("/bin/sh", h.path(dir+"bin/run")))
		}, "leads out of the package"},
		"entry is missing": {func(t *testing.T, h *host, s *engine.Service) {
			require.NoError(t, os.Remove(h.path(dir+"bin/run")))
		}, "bin/run is not in the package"},
		"entry is a folder": {func(t *testing.T, h *host, s *engine.Service) {
			h.write(t, dir+"package.yml", "entry: bin\n", 0o644)
		}, "bin is not a file"},
		"missing interpreter": {func(t *testing.T, h *host, s *engine.Service) {
			h.write(t, dir+"bin/run", "#!/usr/bin/python2.7.missing -u\n", 0o755)
		}, "interpreter /usr/bin/python2.7.missing of run is not installed"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			s := h.service(t, "svc", "exit 0")
			c.change(t, h, &s)
			box, err := h.Open(t.Context(), s)
			require.NoError(t, err)
			_, err = box.Start(t.Context(), engine.Spec{Name: "svc"})
			require.ErrorContains(t, err, c.want)
			require.NoError(t, box.Close())
		})
	}
}

// An archive without modes gives a program that is not executable; it becomes executable, and only its owner can write
// it.
func TestEntryBecomesExecutable(t *testing.T) {
	h := newHost(t)
	s := h.service(t, "svc", "exit 0")
	entry := h.path("var/db/baetyl/pkg-svc/bin/run")
	require.NoError(t, os.Chmod(entry, 0o644))
	_, i := h.start(t, s, nil)
	enginetest.Ended(t, i)
	require.NoError(t, i.Exit().Err)
	info, err := os.Stat(entry)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o755), info.Mode().Perm())
}

// A file that the service may have chosen keeps its mode.
func TestEntryOfAServiceKeepsItsMode(t *testing.T) {
	for name, change := range map[string]func(h *host, s engine.Service) engine.Service{
		"hard link": func(h *host, s engine.Service) engine.Service {
			h.write(t, "var/db/baetyl/secret", "#!/bin/sh\n", 0o600)
			require.NoError(t, os.Remove(h.path("var/db/baetyl/pkg-svc/bin/run")))
			require.NoError(t, os.Link(h.path("var/db/baetyl/secret"), h.path("var/db/baetyl/pkg-svc/bin/run")))
			return s
		},
		"writable package": func(h *host, s engine.Service) engine.Service {
			require.NoError(t, os.Chmod(h.path("var/db/baetyl/pkg-svc/bin/run"), 0o600))
			return with(s, "rw", "var/db/baetyl/pkg-svc", "rw", false)
		},
		"folder of the package": func(h *host, s engine.Service) engine.Service {
			require.NoError(t, os.Chmod(h.path("var/db/baetyl/pkg-svc/bin/run"), 0o600))
			return with(s, "rw", "var/db/baetyl/pkg-svc/bin", "rw", false)
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			s := change(h, h.service(t, "svc", "exit 0"))
			box, err := h.Open(t.Context(), s)
			require.NoError(t, err)
			_, err = box.Start(t.Context(), engine.Spec{Name: "svc"})
			require.ErrorContains(t, err, "bin/run is not executable, and is not made so")
			info, err := os.Stat(h.path("var/db/baetyl/pkg-svc/bin/run"))
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
			require.NoError(t, box.Close())
		})
	}
}
