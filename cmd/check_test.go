package cmd_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/cmd"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// A command whose output is not whole ends with status 1, and says why.
func TestOutputThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	d := newDevice(t, "services: []\n")
	for _, args := range [][]string{{"check"}, {"version"}, {"--help"}, {"check", "--help"}} {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Skip("this system has no /dev/full")
		}
		c := exec.Command(d.path("bin/baetyl"), args...)
		var stderr bytes.Buffer
		c.Stdout, c.Stderr = full, &stderr
		err = c.Run()
		require.NoError(t, full.Close())
		var e *exec.ExitError
		require.ErrorAs(t, err, &e, args)
		require.Equal(t, 1, e.ExitCode(), args)
		require.Contains(t, stderr.String(), "baetyl: write the output, which is not whole", args)
		require.Contains(t, stderr.String(), "no space left on device", args)
	}
}

// What keeps a whole master from starting is refused by check: status 1, no OK!. That the start says the same is tested
// in package master.
func TestCheckRefusesWhatCannotStart(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("s", 120)
	for name, c := range map[string]struct {
		change func(d *device) error
		want   string
	}{
		"name of the socket": {func(d *device) error {
			return os.WriteFile(d.path("etc/baetyl/conf.yml"),
				[]byte("mode: native\nserver: {address: 'unix://var/run/"+long+"'}\n"), 0o600)
		}, "server.address: the name of the socket"},
		"folder in place of the socket": {func(d *device) error {
			return os.MkdirAll(d.path("var/run/baetyl.sock"), 0o755)
		}, "server.address: " + "exists and is not a socket"},
		"file in place of a folder": {func(d *device) error {
			return os.WriteFile(d.path("var/run"), nil, 0o600)
		}, "var/run is needed as a folder, and is a file; move it away"},
		"folder of the socket is a link to nothing": {func(d *device) error {
			return os.Symlink("/nowhere/at/all", d.path("var/run"))
		}, "var/run is a link to nothing"},
		"serial number": {func(d *device) error {
			return os.WriteFile(d.path("etc/baetyl/conf.yml"), []byte("mode: native\nsnfile: etc/sn\n"), 0o600)
		}, "etc/sn: open: no such file or directory"},
		"certificate": {func(d *device) error {
			return os.WriteFile(d.path("etc/baetyl/conf.yml"), []byte("mode: native\n"+
				"server: {address: 'tcp://127.0.0.1:0', cert: etc/c.pem, key: etc/k.pem}\n"), 0o600)
		}, "server: load cert"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDevice(t, "services: []\n")
			require.NoError(t, c.change(d))
			before := tree(t, d.dir)
			out, status := d.run("check")
			require.Equal(t, 1, status, out)
			require.NotContains(t, out, "OK!")
			for _, part := range strings.SplitAfterN(c.want, ": ", 2) {
				require.Contains(t, out, strings.TrimSuffix(part, ": "), out)
			}
			require.Equal(t, before, tree(t, d.dir), "check changes nothing")
			said, status := d.run("start")
			require.Equal(t, 1, status, said)
		})
	}
}

// A new application is refused for what no program can be given, and one whose program cannot run here ends the update
// before anything is stopped.
func TestUpdateRefusesWhatCannotStart(t *testing.T) {
	t.Parallel()
	d := newUpdatedDevice(t)
	s := d.supervise(t)
	d.await(t, 3)
	before := d.processes()
	good, err := os.ReadFile(d.path("var/db/baetyl/app/good/application.yml"))
	require.NoError(t, err)
	refused := strings.ReplaceAll(string(good), "args: [v2, '']", `args: ["v2\0", '']`)
	d.write(t, "var/db/baetyl/app/nul/application.yml", refused, 0o644)
	err = s.put(masterapi.UpdateRequest{Path: "var/db/baetyl/app/nul", Trace: "t1"})
	require.True(t, isStatus(err, 422), err)
	require.ErrorContains(t, err, "services[1] (worker).args[0]: byte 3 is a NUL, and no program can be given one")

	d.write(t, "var/db/baetyl/crlf/package.yml", "entry: run\n", 0o644)
	d.write(t, "var/db/baetyl/crlf/run", "#!/bin/sh\r\n", 0o755)
	wrong := strings.ReplaceAll(string(good), "volumes:", "volumes:\n  - {name: crlf, path: var/db/baetyl/crlf}")
	at := strings.LastIndex(wrong, "{name: pkg, path: lib/baetyl/pkg,")
	wrong = wrong[:at] + strings.Replace(wrong[at:], "name: pkg", "name: crlf", 1)
	d.write(t, "var/db/baetyl/app/crlf/application.yml", wrong, 0o644)
	require.NoError(t, s.put(masterapi.UpdateRequest{Path: "var/db/baetyl/app/crlf", Trace: "t2"}))
	final := d.awaitFinal(t, "t2")
	require.Equal(t, masterapi.StepRolledBack, final.Step)
	require.Contains(t, d.awaitIdle(t, "v1", "1.0.0").Error, "ends with a carriage return")
	require.Equal(t, before, d.processes(), "nothing was stopped")
}

// tree is every file below dir with its mode.
func tree(t *testing.T, dir string) (out []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		out = append(out, path+" "+info.Mode().String())
		return err
	}))
	return out
}

// What one service cannot have is a warning: a version before has accepted it, and a master update asks by check.
func TestCheckWarns(t *testing.T) {
	t.Parallel()
	d := newDevice(t, `
services:
  - {name: nul, image: pkg, args: ["a\0b"], mounts: [{name: pkg, path: lib/baetyl/pkg, readonly: true}]}
  - name: backoff
    image: pkg
    restart: {backoff: {min: 2m, max: 1m}}
    mounts: [{name: pkg, path: lib/baetyl/pkg, readonly: true}]
  - {name: windows, image: crlf, mounts: [{name: crlf, path: lib/baetyl/crlf, readonly: true}]}
  - {name: device, image: pkg, mounts: [{name: pkg, path: lib/baetyl/pkg, readonly: true}, {name: dev, path: dev/x}]}
  - {name: missing, image: none}
  - {name: fine, image: pkg, mounts: [{name: pkg, path: lib/baetyl/pkg, readonly: true}, {name: new, path: new}]}
volumes:
  - {name: pkg, path: var/db/baetyl/pkg}
  - {name: crlf, path: var/db/baetyl/crlf}
  - {name: dev, path: /dev/null}
  - {name: new, path: var/db/baetyl/new}
`)
	d.write(t, "var/db/baetyl/pkg/package.yml", "entry: run\n", 0o644)
	d.write(t, "var/db/baetyl/pkg/run", "#!/bin/sh\n", 0o644)
	d.write(t, "var/db/baetyl/crlf/package.yml", "entry: run\n", 0o644)
	d.write(t, "var/db/baetyl/crlf/run", "#!/bin/sh\r\nexit 0\r\n", 0o755)
	before := tree(t, d.dir)
	var stdout, stderr bytes.Buffer
	status := cmd.Execute([]string{"check", "-w", d.dir}, nil, &stdout, &stderr)
	require.Zero(t, status, stderr.String())
	require.Equal(t, "OK!\n", stdout.String())
	for _, want := range []string{
		"warning: services[0] (nul).args[0]: byte 2 is a NUL",
		"warning: service nul cannot start: ",
		"warning: services[1] (backoff).restart.backoff.min: 2m0s is more than restart.backoff.max, which is 1m0s",
		"warning: service windows cannot start: the first line of run ends with a carriage return",
		"warning: service device cannot start: mount dev/x of volume dev: /dev/null is a device of the host",
		"warning: service missing cannot start: open lib/baetyl/none/package.yml: no such file or directory; mount",
	} {
		require.Contains(t, stderr.String(), want)
	}
	require.NotContains(t, stderr.String(), "service fine")
	require.NotContains(t, stderr.String(), "service backoff cannot start")
	require.Equal(t, before, tree(t, d.dir), "check changes nothing")
}

// A file that is none that can be read whole is refused at once: nobody waits for the other end of a pipe.
func TestCheckOfAPipe(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"var/db/baetyl/application.yml", "etc/baetyl/conf.yml"} {
		d := newDevice(t, "services: []\n")
		require.NoError(t, os.Remove(d.path(file)))
		require.NoError(t, syscall.Mkfifo(d.path(file), 0o600))
		out, status := d.run("check")
		require.Equal(t, 1, status, out)
		require.Contains(t, out, filepath.Base(file))
	}
}
