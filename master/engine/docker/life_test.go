//go:build unix

package docker

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/stretchr/testify/require"
)

// Who ended a container, case by case. It is not exported, but a daemon that has forgotten is hard to have.
func TestInterrupted(t *testing.T) {
	now := time.Now()
	at := func(code int, d time.Duration) *container.State {
		return &container.State{ExitCode: code, FinishedAt: now.Add(d).UTC().Format(time.RFC3339Nano)}
	}
	oom := at(137, 0)
	oom.OOMKilled = true
	never := time.Time{}
	for name, c := range map[string]struct {
		l    life
		s    *container.State
		left time.Time
		want bool
	}{
		"started by this daemon":                      {life{whole: true, started: true, died: true}, at(137, 0), now, false},
		"started before, ended by this one":           {life{whole: true, died: true}, at(143, 0), never, true},
		"the same, with a code of its own":            {life{whole: true, died: true}, at(1, 0), never, true},
		"with live-restore":                           {life{whole: true, died: true, keeps: true}, at(137, 0), now, false},
		"ended with the daemon, seen":                 {life{whole: true}, at(1, 0), now, true},
		"ended with the daemon, not seen":             {life{whole: true}, at(0, -time.Hour), never, true},
		"failed before the daemon ended, not seen":    {life{whole: true}, at(1, -time.Hour), never, false},
		"out of memory":                               {life{whole: true}, oom, now, false},
		"forgotten, not seen":                         {life{}, at(137, 0), never, false},
		"forgotten, soon after an outage":             {life{}, at(137, time.Second), now, true},
		"forgotten, long after an outage":             {life{}, at(137, time.Hour), now, false},
		"forgotten, and no time":                      {life{}, &container.State{}, now, true},
		"removed by hand":                             {life{whole: true, started: true, destroyed: true}, nil, never, false},
		"removed by hand from this daemon, after one": {life{whole: true, destroyed: true}, nil, now, false},
		"unknown to another daemon":                   {life{whole: true}, nil, never, true},
		"unknown, seen, forgotten":                    {life{}, nil, now, true},
		"unknown, forgotten":                          {life{}, nil, never, false},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, c.l.interrupted(c.s, c.left)) })
	}
}

// A container that was killed, and that nobody has asked its daemon to kill, shows that memory may be the reason: the
// daemon does not always know. It is not exported, but a daemon that has lost the event cannot be had when it is
// needed.
func TestKilledWithoutAReason(t *testing.T) {
	for text, e := range map[string]end{
		"container exit code: 137, killed by the kernel: out of memory (OOM), see resources.memory.limit": {
			state: &container.State{ExitCode: 137, OOMKilled: true}, unasked: true},
		"container exit code: 137, killed, perhaps by the kernel: out of memory (OOM), see resources.memory.limit": {
			state: &container.State{ExitCode: 137}, unasked: true},
		"container exit code: 137": {state: &container.State{ExitCode: 137}},
		"container exit code: 1":   {state: &container.State{ExitCode: 1}, unasked: true},
	} {
		require.EqualError(t, exitOf(e, time.Now(), time.Now()).Err, text)
	}
}

// A daemon that has not read its events when all that was asked for is past, as podman, is given time. One that knows
// nothing of the end after that has not seen it.
func TestEventsThatAreReadLate(t *testing.T) {
	for action, want := range map[string]life{
		"die": {whole: true, started: true, died: true}, "remove": {whole: true, started: true, destroyed: true},
		"pause": {whole: true, started: true},
	} {
		t.Run(action, func(t *testing.T) {
			asked := 0
			daemon := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case strings.HasSuffix(r.URL.Path, "/info"):
					fmt.Fprintf(w, `{"SystemTime":%q}`, time.Now().Format(time.RFC3339Nano))
				case strings.HasSuffix(r.URL.Path, "/events"):
					asked++
					until, err := strconv.ParseFloat(r.URL.Query().Get("until"), 64)
					if err != nil || until < float64(time.Now().Unix())+1 {
						return
					}
					for _, a := range []string{"start", action} {
						fmt.Fprintf(w, `{"Type":"container","Action":%q,"Actor":{"ID":"x"}}`, a)
					}
				}
			}))
			defer daemon.Close()
			t.Setenv("DOCKER_HOST", "tcp://"+daemon.Listener.Addr().String())
			api, err := newTransport()
			require.NoError(t, err)
			defer api.Close()
			l, err := (&Engine{api: api}).lifeOf(t.Context(), "x", time.Now())
			require.NoError(t, err)
			require.Equal(t, want, l)
			require.Equal(t, 2, asked)
		})
	}
}
