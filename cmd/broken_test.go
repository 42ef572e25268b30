package cmd_test

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// inspect is what a person sees once done accepts it.
func (d *device) inspect(t *testing.T, what string, done func(masterapi.Inspect) bool) (in masterapi.Inspect) {
	t.Helper()
	c, err := http.NewClient(http.ClientConfig{Address: "unix://" + d.path(masterapi.AdminSocket), Timeout: time.Minute})
	require.NoError(t, err)
	defer c.Close()
	require.Eventually(t, func() bool {
		in = masterapi.Inspect{}
		return c.Get(context.Background(), masterapi.PathInspect, &in) == nil && done(in)
	}, time.Minute, 20*time.Millisecond, "%s", what)
	return in
}

// An application.yml that is bad or missing when a master has crashed ends no service. The next good file, or an
// update, brings order. When everything was stopped, the last good application runs in place of a bad one, and nothing
// runs where there is none.
func TestCrashWithABrokenApplication(t *testing.T) {
	t.Parallel()
	const file = "var/db/baetyl/application.yml"
	for name, c := range map[string]struct {
		harm func(t *testing.T, d *device)
		says []string
	}{
		"deleted": {func(*testing.T, *device) {}, []string{"application.yml is missing", "the application that ran before"}},
		"broken": {func(t *testing.T, d *device) {
			d.write(t, file, "services: [{nme: x", 0o644)
		}, []string{"load application: ", `the last good application (version "v1"`}},
		"unreadable": {func(t *testing.T, d *device) {
			require.NoError(t, os.Mkdir(d.path(file), 0o755)) // root reads what it may not
		}, []string{"load application: ", "is a folder", "the last good application"}},
		"empty": {func(t *testing.T, d *device) {
			d.write(t, file, "", 0o644)
		}, []string{"is empty", "the last good application"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newBusyDevice(t)
			d.write(t, file, fmt.Sprintf(updated, "v1", ""), 0o644)
			d.write(t, "var/db/baetyl/app/next/application.yml", fmt.Sprintf(updated, "v2", ""), 0o644)
			d.configure(t, "grace: 3s\nupdate: {healthy: 100ms, deadline: 1m}")
			c1, _ := d.start(t)
			before := d.instances(t)
			harm := func() {
				require.NoError(t, os.RemoveAll(d.path(file)))
				c.harm(t, d)
			}
			harm()
			master := otherMaster(t, c1.Process.Pid, 0)
			for range 2 { // the second one has not read a good file either
				require.NoError(t, syscall.Kill(master, syscall.SIGKILL))
				master = otherMaster(t, c1.Process.Pid, master)
				in := d.inspect(t, "the error is not shown", func(in masterapi.Inspect) bool { return in.Error != "" })
				for _, text := range c.says {
					require.Contains(t, in.Error, text)
				}
				require.Equal(t, before, d.instances(t))
			}

			// A good file.
			require.NoError(t, os.RemoveAll(d.path(file)))
			d.write(t, file, fmt.Sprintf(updated, "v1", ""), 0o644)
			out, code := d.run("restart")
			require.Zero(t, code, out)
			d.inspect(t, "the error stays", func(in masterapi.Inspect) bool { return in.Error == "" })
			require.Equal(t, before, d.instances(t))

			// An update.
			harm()
			master = otherMaster(t, c1.Process.Pid, 0)
			require.NoError(t, syscall.Kill(master, syscall.SIGKILL))
			otherMaster(t, c1.Process.Pid, master)
			d.inspect(t, "the error is not shown", func(in masterapi.Inspect) bool { return in.Error != "" })
			if name == "unreadable" { // the update would have to replace a folder
				require.NoError(t, os.RemoveAll(d.path(file)))
			}
			request := masterapi.UpdateRequest{Path: "var/db/baetyl/app/next", Trace: "t1"}
			require.Eventually(t, func() bool {
				return d.client(t, "loop").Put(context.Background(), masterapi.PathUpdate, request, nil) == nil
			}, time.Minute, 20*time.Millisecond, "the update is not accepted")
			require.Equal(t, masterapi.StepUpdated, d.awaitFinal(t, "t1").Step)
			d.inspect(t, "v2 does not run", func(in masterapi.Inspect) bool {
				return in.Error == "" && in.Software.ConfVersion == "v2"
			})
			require.Equal(t, before["loop"], d.instances(t)["loop"], "a service that the update does not change runs on")

			// After a clean stop nothing is left that could go on.
			harm()
			require.NoError(t, c1.Process.Signal(syscall.SIGTERM))
			require.NoError(t, c1.Wait())
			d.start(t)
			in := d.inspect(t, "no master answers", func(in masterapi.Inspect) bool {
				return name == "deleted" || in.Error != "" && len(in.Services) == 2
			})
			if name == "deleted" {
				require.Empty(t, in.Services)
				require.Empty(t, d.processes())
				return
			}
			require.Equal(t, "v2", in.Software.ConfVersion)
			out, code = d.run("check")
			require.Equal(t, 1, code)
			require.Contains(t, out, `the last good application (version "v2"`)
		})
	}
}
