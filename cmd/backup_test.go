package cmd_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

const counting = `
version: v1
services:
  - name: counter
    image: pkg
    replica: 1
    mounts:
      - {name: pkg, path: lib/baetyl/pkg, readonly: true}
      - {name: conf, path: etc/baetyl, readonly: true}
      - {name: out, path: out}
    env: {DATABASE_URL: 'postgres://u:S3cr3t-env@db/x'}
volumes:
  - {name: pkg, path: var/db/baetyl/pkg}
  - {name: conf, path: var/db/baetyl/conf}
  - {name: out, path: var/db/baetyl/out}
`

// counter writes the same number into two files, one after the other: a copy of one moment has them at most one apart.
const counter = `#!/bin/sh
n=0
echo "my password=S3cr3t-log"
while :; do
  n=$((n+1))
  for f in a b; do echo $n >out/$f.tmp; mv out/$f.tmp out/$f; done
  sleep 0.001
done
`

func newCountingDevice(t *testing.T) *device {
	d := newDevice(t, counting)
	d.write(t, "var/db/baetyl/pkg/package.yml", "entry: bin/run\n", 0o644)
	d.write(t, "var/db/baetyl/pkg/bin/run", counter, 0o755)
	d.write(t, "var/db/baetyl/conf/service.yml", "hub:\n  password: S3cr3t-conf\n", 0o644)
	t.Cleanup(d.kill)
	return d
}

func (d *device) number(t *testing.T, name string) string {
	data, err := os.ReadFile(d.path("var/db/baetyl/out/" + name))
	if errors.Is(err, os.ErrNotExist) {
		return ""
	}
	require.NoError(t, err)
	return strings.TrimSpace(string(data))
}

func (d *device) counts(t *testing.T) {
	t.Helper()
	before := d.number(t, "b")
	require.Eventually(t, func() bool {
		now := d.number(t, "b")
		return now != "" && now != before
	}, time.Minute, 5*time.Millisecond, "the service does not go on")
}

// A device is backed up while it runs, and restored elsewhere: it runs there as it did, and the old one was frozen for
// a moment alone.
func TestBackupAndRestore(t *testing.T) {
	d := newCountingDevice(t)
	keeper, _ := d.start(t)
	d.counts(t)
	file := filepath.Join(t.TempDir(), "backup.tar.gz")
	require.NoError(t, os.WriteFile(file+".tmp", []byte("what a killed command has left"), 0o644))
	out, status := d.run("backup", file)
	require.Zero(t, status, out)
	require.Contains(t, out, "services were frozen for")
	d.counts(t)
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.NoFileExists(t, file+".tmp")
	out, status = d.run("backup", file)
	require.Equal(t, 2, status, out)
	require.Contains(t, out, "--force")
	out, status = d.run("restore", file, "--force", "--yes")
	require.Equal(t, 1, status, out)
	require.Contains(t, out, "another master runs")

	other := newDevice(t, "version: other\n")
	t.Cleanup(other.kill)
	out, status = other.run("restore", file)
	require.Equal(t, 1, status, out)
	require.Contains(t, out, "there is an application already")
	out, status = other.run("restore", file, "--force")
	require.Equal(t, 2, status, out)
	require.Contains(t, out, "--yes")
	out, status = other.run("restore", file, "--force", "--dry-run")
	require.Zero(t, status, out)
	text, err := os.ReadFile(other.path("var/db/baetyl/application.yml"))
	require.NoError(t, err)
	require.Equal(t, "version: other\n", string(text))
	out, status = other.run("restore", file, "--force", "--yes")
	require.Zero(t, status, out)
	a, errA := strconv.Atoi(other.number(t, "a"))
	b, errB := strconv.Atoi(other.number(t, "b"))
	require.NoError(t, errors.Join(errA, errB))
	require.True(t, a == b || a == b+1, "the copy is not one of one moment: %d, %d", a, b)
	require.NoError(t, keeper.Process.Signal(syscall.SIGTERM))
	require.NoError(t, keeper.Wait())
	other.start(t)
	other.counts(t)
}

// A backup that is cut off anywhere leaves no file, and one of a full disk neither; a pipe is verified as well.
func TestBackupThroughAPipe(t *testing.T) {
	d := newCountingDevice(t)
	out, status := d.run("backup", filepath.Join(t.TempDir(), "missing", "file"))
	require.Equal(t, 1, status, out)
	c := exec.Command(d.path("bin/baetyl"), "backup", "-") // no master runs
	var archive, said bytes.Buffer
	c.Stdout, c.Stderr = &archive, &said
	require.NoError(t, c.Run(), said.String())
	to := newDevice(t, "")
	require.NoError(t, os.Remove(to.path("var/db/baetyl/application.yml")))
	for _, n := range []int{0, 10, archive.Len() / 2, archive.Len() - 1} {
		c = exec.Command(to.path("bin/baetyl"), "restore", "-")
		c.Stdin = bytes.NewReader(archive.Bytes()[:n])
		text, err := c.CombinedOutput()
		require.Error(t, err)
		require.NoFileExists(t, to.path("var/db/baetyl/application.yml"), "%s", text)
	}
	c = exec.Command(to.path("bin/baetyl"), "restore", "-")
	c.Stdin = &archive
	text, err := c.CombinedOutput()
	require.NoError(t, err, "%s", text)
	require.FileExists(t, to.path("var/db/baetyl/pkg/bin/run"))
	full := exec.Command(d.path("bin/baetyl"), "backup", "/dev/full")
	text, err = full.CombinedOutput()
	require.Error(t, err, "%s", text)
	info, err := os.Stat("/dev/full")
	require.NoError(t, err)
	require.Equal(t, os.ModeDevice|os.ModeCharDevice, info.Mode().Type())
}

// A master that is killed while services are frozen does not leave them so.
func TestKilledWhileFrozen(t *testing.T) {
	d := newCountingDevice(t)
	keeper, _ := d.start(t)
	for n := range 8 {
		d.counts(t)
		c := exec.Command(d.path("bin/baetyl"), "backup", "-")
		pipe, err := c.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, c.Start())
		_, err = io.CopyN(io.Discard, pipe, int64(1+n*100))
		require.NoError(t, err)
		master := masterOf(keeper.Process.Pid)
		require.NoError(t, syscall.Kill(master, syscall.SIGKILL))
		_, _ = io.Copy(io.Discard, pipe)
		_ = c.Wait()
		otherMaster(t, keeper.Process.Pid, master)
		d.counts(t)
	}
}

// A support bundle holds what support needs, and none of the secrets, with and without a master.
func TestSupportBundle(t *testing.T) {
	d := newCountingDevice(t)
	check := func(what string) {
		file := filepath.Join(t.TempDir(), "bundle.tar.gz")
		out, status := d.run("support-bundle", file)
		require.Zero(t, status, out)
		names := map[string]string{}
		f, err := os.Open(file)
		require.NoError(t, err)
		defer f.Close()
		gz, err := gzip.NewReader(f)
		require.NoError(t, err)
		for r := tar.NewReader(gz); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			data, err := io.ReadAll(r)
			require.NoError(t, err)
			names[h.Name] = string(data)
			for _, secret := range []string{"S3cr3t-env", "S3cr3t-log", "S3cr3t-conf"} {
				require.NotContains(t, string(data), secret, "%s: %s", what, h.Name)
			}
		}
		for _, name := range []string{
			"doctor.json", "application.yml", "conf.yml", "services/counter/service.yml", "host/proc/meminfo", "manifest.json",
		} {
			require.Contains(t, names, name, what)
		}
		require.Contains(t, names["application.yml"], "name: counter", what)
		if what == "with a master" {
			require.Contains(t, names["logs/services/counter.log"], "my password=***")
			require.Contains(t, names["inspect.json"], `"running"`)
		}
	}
	check("without a master")
	d.start(t)
	d.counts(t)
	check("with a master")
}

// The doctor works without a master, asks one that there is, and its status says whether something does not work.
func TestDoctor(t *testing.T) {
	d := newCountingDevice(t)
	findings := func(args ...string) (masterapi.Examination, int) {
		c := exec.Command(d.path("bin/baetyl"), append([]string{"doctor", "-o", "json"}, args...)...)
		out, _ := c.Output()
		var e masterapi.Examination
		require.NoError(t, json.Unmarshal(out, &e), "%s", out)
		return e, c.ProcessState.ExitCode()
	}
	e, status := findings("--only", "application,passwords,state")
	require.Zero(t, status)
	require.NotEmpty(t, e.Findings)
	for _, f := range e.Findings {
		require.Contains(t, []string{"application", "passwords", "state"}, f.ID)
	}
	e, status = findings("--only", "services")
	require.Zero(t, status)
	require.Contains(t, e.Findings[0].Text, "no master runs")
	d.write(t, "var/db/baetyl/conf/service.yml",
		"listen: ['tcp://0.0.0.0:1883']\nprincipals: [{username: test, password: hahaha}]\n", 0o644)
	e, status = findings("--only", "passwords")
	require.Equal(t, 1, status)
	require.Equal(t, masterapi.SeverityError, e.Findings[0].Severity)
	d.start(t)
	d.counts(t)
	e, _ = findings("--skip", "passwords,clock")
	ids := map[string]string{}
	for _, f := range e.Findings {
		ids[f.ID] = f.Text
	}
	require.NotContains(t, ids, "passwords")
	require.Contains(t, ids["services"], "1 services")
	out, status := d.run("doctor", "--only", "nonsense")
	require.Equal(t, 2, status, out)
	out, status = d.run("doctor", "--list")
	require.Zero(t, status)
	require.Contains(t, out, "certificates")
}
