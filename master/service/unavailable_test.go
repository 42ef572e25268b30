package service_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

var errAway = fmt.Errorf("daemon does not answer: %w", engine.ErrUnavailable)

var policies = []string{app.RestartAlways, app.RestartOnFailure, app.RestartNo}

// An engine that is away for long ends no service, whatever its policy, and costs no retry and no restart.
func TestEngineIsAway(t *testing.T) {
	for _, policy := range policies {
		t.Run(policy, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *bench) {
				s := spec("a", 1, func(s *app.Service) { s.Restart.Policy, s.Restart.Retry.Max = policy, 2 })
				b.fake.FailOpen("a", errAway)
				require.NoError(t, b.TakeOver(t.Context(), nil))
				require.ErrorIs(t, b.Start(t.Context(), s), engine.ErrUnavailable)
				time.Sleep(time.Hour)
				b.fake.FailOpen("a", nil)
				b.fake.FailStart("a", errAway)
				time.Sleep(time.Hour)
				i := b.instance(t, "a", "a")
				require.Equal(t, masterapi.StatusStarting, i.Status)
				require.Contains(t, i.Error, "daemon does not answer")
				require.Contains(t, b.Inspect()[0].Error, "daemon does not answer")

				b.fake.FailStart("a", nil)
				time.Sleep(2 * time.Second)
				i = b.instance(t, "a", "a")
				require.Equal(t, masterapi.StatusRunning, i.Status)
				require.Zero(t, i.Restarts)
			})
		})
	}
}

// What the engine's daemon ended is started again, whatever the policy, and nothing is counted; its own failures are.
func TestInterrupted(t *testing.T) {
	for _, policy := range policies {
		t.Run(policy, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *bench) {
				s := spec("a", 1, func(s *app.Service) { s.Restart.Policy, s.Restart.Retry.Max = policy, 2 })
				b.boot(t, s)
				for range 5 {
					b.fake.Interrupt("a")
					time.Sleep(2 * time.Second)
					require.Equal(t, masterapi.StatusRunning, b.instance(t, "a", "a").Status)
				}
				require.Zero(t, b.instance(t, "a", "a").Restarts)
				b.fake.End("a", errBoom)
				time.Sleep(time.Minute)
				want := masterapi.StatusRunning
				if policy == app.RestartNo {
					want = masterapi.StatusFailed
				}
				require.Equal(t, want, b.instance(t, "a", "a").Status)
			})
		})
	}
}

// A master that takes over while a start is waited for that counts for nothing goes on with that.
func TestInterruptedAndTheNextMaster(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		s, f := spec("a", 1, func(s *app.Service) { s.Restart.Policy = app.RestartNo }), spec("f", 0)
		b.boot(t, s, f)
		require.NoError(t, b.StartInstance(t.Context(), "f", "f.x", nil, nil))
		b.fake.FailStart("a", errAway)
		b.fake.FailStart("f.x", errAway)
		for _, name := range []string{"a", "f.x"} {
			b.fake.Interrupt(name)
		}
		for range 3 {
			synctest.Wait()
			b.replace(t, s, f)
			time.Sleep(time.Minute)
			require.Empty(t, b.fake.Running())
		}
		b.fake.FailStart("a", nil)
		b.fake.FailStart("f.x", nil)
		time.Sleep(time.Minute)
		require.Equal(t, []string{"a", "f.x"}, b.fake.Running())
	})
}

// Whoever asks for an instance while the engine is away is told so, and nothing is started later.
func TestDynamicStartWhileTheEngineIsAway(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		b.boot(t, spec("f", 0))
		b.fake.FailStart("f.x", errAway)
		require.ErrorIs(t, b.StartInstance(t.Context(), "f", "f.x", nil, nil), engine.ErrUnavailable)
		b.fake.FailStart("f.x", nil)
		time.Sleep(time.Minute)
		require.Empty(t, b.fake.Running())
	})
}
