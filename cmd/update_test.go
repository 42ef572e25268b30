package cmd_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/requires"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// updated is an application whose service worker says its version; %[1]s is the version, %[2]s an argument of worker.
const updated = `
version: %[1]s
services:
  - name: loop
    image: pkg
    replica: 1
    api: [inspect, update]
    mounts: [{name: pkg, path: lib/baetyl/pkg, readonly: true}, {name: out, path: out}]
  - name: worker
    image: pkg
    replica: 2
    args: [%[1]s, '%[2]s']
    mounts: [{name: pkg, path: lib/baetyl/pkg, readonly: true}, {name: out, path: out}]
volumes:
  - {name: pkg, path: var/db/baetyl/pkg}
  - {name: out, path: var/db/baetyl/out}
`

// worker writes its token, and runs until it is ended; with a second argument it exits at once with status 3.
const worker = `#!/bin/sh
echo "$BAETYL_SERVICE_TOKEN" > "out/token-$BAETYL_SERVICE_INSTANCE_NAME"
[ -n "$2" ] && exit 3
while :; do sleep 0.05; done
`

func newUpdatedDevice(t *testing.T) *device {
	programs, err := versions()
	require.NoError(t, err)
	d := newBusyDevice(t)
	d.configure(t, "grace: 3s\nupdate: {healthy: 300ms, deadline: 1m}")
	d.write(t, "var/db/baetyl/application.yml", fmt.Sprintf(updated, "v1", ""), 0o644)
	d.write(t, "var/db/baetyl/app/good/application.yml", fmt.Sprintf(updated, "v2", ""), 0o644)
	bad := strings.ReplaceAll(fmt.Sprintf(updated, "v2", "exit"), "replica: 2", "replica: 2\n    restart: {policy: no}")
	d.write(t, "var/db/baetyl/app/bad/application.yml", bad, 0o644)
	d.write(t, "var/db/baetyl/app/next/application.yml", fmt.Sprintf(updated, "v3", ""), 0o644)
	d.write(t, "var/db/baetyl/pkg/bin/run", worker, 0o755)
	require.NoError(t, os.Remove(d.path("bin/baetyl")))
	d.copy(t, programs["1.0.0"], "bin/baetyl")
	d.copy(t, programs["2.0.0"], "var/db/baetyl/master/2.0.0/bin/baetyl")
	return d
}

func (d *device) copy(t *testing.T, from, to string) {
	require.NoError(t, os.MkdirAll(filepath.Dir(d.path(to)), 0o755))
	out, err := exec.Command("cp", from, d.path(to)).CombinedOutput()
	require.NoError(t, err, string(out))
}

func isStatus(err error, status int) bool {
	var e *http.Error
	return errors.As(err, &e) && e.Status == status
}

// workers are the versions that run as worker, of all its instances.
func (d *device) workers() []string {
	if d.containers != "" {
		var out []string
		label := "label=service=" + d.containers + "worker"
		for _, v := range d.docker("ps", "--no-trunc", "--format", "{{.Command}}", "--filter", label) {
			if strings.HasPrefix(v, "v") {
				out = append(out, v)
			}
		}
		return out
	}
	var out []string
	for _, pid := range d.processes() {
		line, _ := os.ReadFile("/proc/" + pid + "/cmdline")
		if args := strings.Split(string(line), "\x00"); len(args) > 2 && strings.HasPrefix(args[len(args)-3], "v") {
			out = append(out, args[len(args)-3])
		}
	}
	return out
}

// A real master is killed (SIGKILL) at each point of an update, good and bad. The old or the new application runs
// afterwards, whole, the log has one end, and the next update works. This is the table of docs/reliability.md.
func TestUpdateKilledAtEachPoint(t *testing.T) {
	t.Parallel()
	const done, back = masterapi.StepUpdated, masterapi.StepRolledBack
	// At the others the containers are as they were, and native mode is enough; with BAETYL_TEST_ALL it is all of them.
	inDocker := map[string]string{
		"images staged": "good", "stopped": "good", "started": "good", "healthy": "good", "committed": "good", "rolling back": "bad",
		"services put back": "bad",
	}
	for _, c := range []struct{ point, good, bad string }{ // how the update ends; empty: the point is not passed
		{"accepted", back, back},
		{"prepared", back, back},
		{"backup written", back, back},
		{"images staged", back, back}, // in docker mode alone
		{"swapped", back, back},
		{"stopped", back, back},
		{"started", back, back},
		{"healthy", back, ""},
		{"committed", done, ""},
		{"rolling back", "", back},
		{"file put back", "", back},
		{"services put back", "", back},
		{"recorded", done, back},
	} {
		for kind, want := range map[string]string{"good": c.good, "bad": c.bad} {
			if want == "" {
				continue
			}
			for mode, device := range map[string]func(*testing.T) *device{
				"native": newUpdatedDevice,
				"docker": func(t *testing.T) *device { return newUpdatedDevice(t).inContainers(t) },
			} {
				if mode == "docker" && inDocker[c.point] != kind && times(0, 1) == 0 ||
					mode == "native" && c.point == "images staged" {
					continue
				}
				t.Run(mode+"/"+c.point+", "+kind, func(t *testing.T) {
					t.Parallel() // each has its own directory and names, and waits most of the time
					killedAt(t, device(t), c.point, kind, want)
				})
			}
		}
	}
}

// killedAt kills the master at point in an update of that kind, which is to end with the step want.
func killedAt(t *testing.T, d *device, point, kind, want string) {
	if kind == "bad" && d.containers == "" { // the machine has other work too: what is bad needs time to show it
		d.configure(t, "grace: 3s\nupdate: {healthy: 3s, deadline: 1m}")
	}
	s := d.supervise(t, "BAETYL_FAULT="+point)
	d.await(t, 3)
	untouched := d.unchanged()
	// killed, perhaps before it has answered
	_ = s.put(masterapi.UpdateRequest{Path: "var/db/baetyl/app/" + kind, Trace: "t1"})
	require.Equal(t, want, d.awaitFinal(t, "t1").Step)
	version := map[string]string{masterapi.StepUpdated: "v2", masterapi.StepRolledBack: "v1"}[want]
	in := d.awaitIdle(t, version, "1.0.0")
	require.True(t, s.killed(), "the point was not passed")
	require.Equal(t, want == masterapi.StepRolledBack, in.Error != "", in.Error)
	require.Eventually(t, func() bool { return slices.Equal(d.workers(), []string{version, version}) },
		time.Minute, 20*time.Millisecond, "workers: %v", d.workers())
	d.await(t, 3)
	d.awaitFinal(t, "t1")
	require.Equal(t, untouched, d.unchanged(), "a service that the update does not change runs on")

	require.NoError(t, s.put(masterapi.UpdateRequest{Path: "var/db/baetyl/app/next", Trace: "t2"}))
	require.Equal(t, masterapi.StepUpdated, d.awaitFinal(t, "t2").Step)
	require.Empty(t, d.awaitIdle(t, "v3", "1.0.0").Error)
	require.Equal(t, []string{"v3", "v3"}, d.workers())
	require.Empty(t, d.steps(t, "t1"), "another trace begins the log anew")
}

// unchanged is the process, or the container, of the service that is the same in all versions.
func (d *device) unchanged() (out []string) {
	if d.containers != "" {
		return d.docker("ps", "--quiet", "--filter", "label=service="+d.containers+"loop")
	}
	for _, pid := range d.processes() {
		env, _ := os.ReadFile("/proc/" + pid + "/environ")
		if strings.Contains(string(env), "BAETYL_SERVICE_NAME=loop\x00") {
			out = append(out, pid)
		}
	}
	return out
}

func TestPlainBootWritesNothing(t *testing.T) {
	t.Parallel()
	d := newUpdatedDevice(t)
	s := d.supervise(t)
	d.await(t, 3)
	require.NoError(t, s.put(masterapi.UpdateRequest{Path: "var/db/baetyl/app/good", Trace: "t1"}))
	d.awaitFinal(t, "t1")
	d.awaitIdle(t, "v2", "1.0.0")
	log, err := os.ReadFile(d.path(masterapi.OTALog))
	require.NoError(t, err)
	s.stop()
	d.supervise(t)
	d.await(t, 3)
	require.Empty(t, d.awaitIdle(t, "v2", "1.0.0").Error)
	again, err := os.ReadFile(d.path(masterapi.OTALog))
	require.NoError(t, err)
	require.Equal(t, string(log), string(again))
}

// A full disk refuses updates and touches nothing; when there is space again they work.
func TestUpdateOnAFullDisk(t *testing.T) {
	t.Parallel()
	d := newUpdatedDevice(t)
	sh := func(script string, args ...string) error {
		out, err := exec.Command("sh", append([]string{"-c", script, "sh"}, args...)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
	data := d.path("var/db/baetyl")
	if err := sh(
		`mv "$1" "$1.full" && mkdir "$1" && mount -t tmpfs -o size=64m none "$1" && cp -a "$1.full/." "$1"`,
		data,
	); err != nil {
		requires.Missing(t, "the right to mount a tmpfs", "run as root: "+err.Error())
	}
	t.Cleanup(func() { _ = sh(`umount -l "$1"`, data) })
	s := d.supervise(t)
	before := d.await(t, 3)
	require.Error(t, sh(`cat /dev/zero > "$1/filler"`, data), "the disk is not full")

	for _, r := range []masterapi.UpdateRequest{{Path: "var/db/baetyl/app/good", Trace: "t1"}, toMaster(newMaster, "t1")} {
		err := s.put(r)
		require.True(t, isStatus(err, 500), "%v", err)
		require.ErrorContains(t, err, "no space left on device")
	}
	require.Empty(t, d.records(t))
	require.Equal(t, before, d.processes())
	d.awaitIdle(t, "v1", "1.0.0")

	require.NoError(t, os.Remove(d.path("var/db/baetyl/filler")))
	require.NoError(t, s.put(masterapi.UpdateRequest{Path: "var/db/baetyl/app/good", Trace: "t1"}))
	require.Equal(t, masterapi.StepUpdated, d.awaitFinal(t, "t1").Step)
	d.awaitIdle(t, "v2", "1.0.0")
	s.stop()
}
