package enginetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/health"
	"github.com/baetyl/baetyl/master/probe"
	"github.com/baetyl/baetyl/protocol/app"
)

// runProbes checks that probes which are commands tell what they find, and leave nothing, whatever they do.
func runProbes(t *testing.T, i engine.Instance) {
	ask := func(timeout time.Duration, script string) health.Result {
		began := time.Now()
		r, ended := probe.Run(t.Context(), app.Probe{
			Action: app.Action{Exec: &app.ProbeExec{Command: []string{"sh", "-c", script}}}, Timeout: timeout,
		}, i)
		<-ended
		require.Less(t, time.Since(began), timeout+time.Minute)
		require.Empty(t, Exec(t, i, marked("8765")), script)
		return r
	}
	const generous = time.Minute
	r := ask(generous, "echo fine")
	require.Equal(t, health.Result{OK: true, Output: "fine\n"}, r)
	r = ask(generous, "echo so; echo bad >&2; exit 4")
	require.Equal(t, health.Result{Output: "sh has ended with status 4\nbad\nso\n"}, r)
	r = ask(generous, "(setsid sleep 87651 &); sleep 87652 & echo done")
	require.True(t, r.OK, r.Output)
	r = ask(generous, "yes")
	require.False(t, r.OK)
	require.LessOrEqual(t, len(r.Output), 3*health.MaxOutput)
	for _, script := range []string{
		"sleep 87651", "trap '' TERM HUP INT; (setsid sleep 87652 &); while :; do sleep 87653; done",
		"(trap '' TERM; setsid sh -c '(sleep 87654 &) ; sleep 87655' &) ; exec sleep 87656",
	} {
		r = ask(time.Second, script)
		require.False(t, r.OK)
		require.Contains(t, r.Output, "no answer within 1s")
	}
	r, _ = probe.Run(t.Context(), app.Probe{
		Action: app.Action{Exec: &app.ProbeExec{Command: []string{"no-such-program"}}}, Timeout: generous,
	}, i)
	require.False(t, r.OK)
	require.NotEmpty(t, r.Output)
}
