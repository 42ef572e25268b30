package cmd_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// versions are two real masters that can be killed at the points of master/fault.
var versions = sync.OnceValues(func() (map[string]string, error) {
	if _, err := build(); err != nil { // for the folder, and its removal
		return nil, err
	}
	out := map[string]string{}
	for _, v := range []string{"1.0.0", "2.0.0"} {
		out[v] = filepath.Join(built, "baetyl-"+v)
		text, err := exec.Command("go", "build", "-tags", "faults", "-o", out[v], "-ldflags",
			"-X github.com/baetyl/baetyl/cmd.Version="+v, "..").CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("build version %s: %w: %s", v, err, text)
		}
	}
	return out, nil
})

// supervisor does what systemd does with Restart=always: it starts the keeper again, whatever its end.
type supervisor struct {
	t      *testing.T
	d      *device
	cancel context.CancelFunc
	done   chan struct{}

	output mqtttest.Output

	mu     sync.Mutex
	keeper int      // its pid
	ends   []string // how the keeper ended, each time
}

// supervise starts the keeper of d, with additions to its environment.
func (d *device) supervise(t *testing.T, env ...string) *supervisor {
	ctx, cancel := context.WithCancel(context.Background())
	s := &supervisor{t: t, d: d, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		for ctx.Err() == nil {
			c := exec.CommandContext(ctx, d.path("bin/baetyl"), "start")
			c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
			c.Env = append(os.Environ(), env...)
			c.Env = append(c.Env, "BAETYL_FAULT_FILE="+d.path("fault"))
			c.Stdout, c.Stderr = &s.output, &s.output
			if err := c.Start(); err != nil {
				s.ended(err.Error())
				return
			}
			s.mu.Lock()
			s.keeper = c.Process.Pid
			s.mu.Unlock()
			_ = c.Wait() // the state says it
			s.ended(c.ProcessState.String())
		}
	}()
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			t.Logf("keepers of %s ended: %q, and said\n%s", d.dir, s.ends, &s.output)
		}
	})
	return s
}

func (s *supervisor) ended(how string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ends = append(s.ends, how)
}

// killed tells whether the point of the environment was passed.
func (s *supervisor) killed() bool {
	_, err := os.Stat(s.d.path("fault"))
	return err == nil
}

// stop ends everything with SIGTERM.
func (s *supervisor) stop() {
	s.cancel()
	<-s.done
}

// put asks for an update; the master may be killed before it answers.
func (s *supervisor) put(r masterapi.UpdateRequest) error {
	s.t.Helper()
	var err error
	require.Eventually(s.t, func() bool { // busy while it boots, with a new token
		err = s.d.client(s.t, "loop").Put(context.Background(), masterapi.PathUpdate, r, nil)
		return !isStatus(err, 409) && !isStatus(err, 401)
	}, time.Minute, 20*time.Millisecond, "the master stays busy")
	return err
}

// records are those of the OTA log.
func (d *device) records(t *testing.T) []masterapi.OTARecord {
	data, err := os.ReadFile(d.path(masterapi.OTALog))
	if os.IsNotExist(err) {
		return nil
	}
	require.NoError(t, err)
	records, err := masterapi.ReadOTALog(bytes.NewReader(data))
	require.NoError(t, err)
	return records
}

// steps are the steps of a trace, in order.
func (d *device) steps(t *testing.T, trace string) []string {
	out := []string{}
	for _, r := range d.records(t) {
		if r.Trace == trace {
			out = append(out, r.Step)
		}
	}
	return out
}

// awaitFinal waits for the final record of a trace and returns it; there is one only.
func (d *device) awaitFinal(t *testing.T, trace string) masterapi.OTARecord {
	t.Helper()
	var final []masterapi.OTARecord
	require.Eventually(t, func() bool {
		final = nil
		for _, r := range d.records(t) {
			if r.Trace == trace && masterapi.Final(r.Step) {
				final = append(final, r)
			}
		}
		return len(final) > 0
	}, 2*time.Minute, 10*time.Millisecond, "update %s does not end", trace)
	require.Len(t, final, 1)
	return final[0]
}

// awaitIdle waits until the master serves, shows version of the application and program, and no update is open.
func (d *device) awaitIdle(t *testing.T, application, program string) masterapi.Inspect {
	t.Helper()
	var in masterapi.Inspect
	require.Eventually(t, func() bool {
		in = masterapi.Inspect{}
		_, err := os.Stat(d.path("var/db/baetyl/update.json"))
		return d.client(t, "loop").Get(context.Background(), masterapi.PathInspect, &in) == nil && os.IsNotExist(err) &&
			in.Software.ConfVersion == application && in.Software.BinVersion == program
	}, 2*time.Minute, 20*time.Millisecond, "application %s on master %s does not run", application, program)
	require.NoFileExists(t, d.path("var/db/baetyl/application.yml.old"))
	require.NoFileExists(t, d.path("bin/baetyl.new"))
	return in
}

func sha256Of(t *testing.T, path string) string {
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	require.NoError(t, err)
	return hex.EncodeToString(h.Sum(nil))
}
