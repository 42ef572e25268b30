package service_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/service"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// numbers are those of the service with that name.
func (b *bench) numbers(t *testing.T, name string) service.Numbers {
	t.Helper()
	synctest.Wait()
	for _, n := range b.Numbers(0) {
		if n.Name == name {
			return n
		}
	}
	t.Fatalf("there is no service %s", name)
	return service.Numbers{}
}

// What a service was to run, and what of that it did, is counted between the changes, whoever asks and however often.
func TestUptime(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		uptime := func(name string, expected, correct time.Duration, fine bool) {
			t.Helper()
			n := b.numbers(t, name)
			require.InDelta(t, expected.Seconds(), n.Expected.Seconds(), 0.001)
			require.InDelta(t, correct.Seconds(), n.Correct.Seconds(), 0.001)
			require.Equal(t, fine, n.Fine)
		}
		backoff := func(s *app.Service) { s.Restart.Backoff = app.Backoff{Min: 8 * time.Second, Max: 8 * time.Second} }
		require.NoError(t, b.Start(t.Context(), spec("a", 2, backoff)))
		uptime("a", 0, 0, true)
		time.Sleep(10 * time.Second)
		b.fake.End("a.i1", errBoom)
		uptime("a", 10*time.Second, 10*time.Second, false)
		time.Sleep(4 * time.Second)
		uptime("a", 14*time.Second, 10*time.Second, false)
		time.Sleep(16 * time.Second) // it is back after about 8 seconds
		n := b.numbers(t, "a")
		require.InDelta(t, 30, n.Expected.Seconds(), 0.001)
		require.InDelta(t, 22, n.Correct.Seconds(), 2)
		require.True(t, n.Fine)
		require.Equal(t, []string{"a", "a.i1"}, n.Replicas)
		require.Equal(t, masterapi.HealthNone, n.Health)

		require.NoError(t, b.StopService("a", alice)) // nobody expects it to run then
		time.Sleep(time.Minute)
		uptime("a", 0, 0, false)

		once := func(s *app.Service) { s.Restart.Policy = app.RestartOnFailure }
		require.NoError(t, b.Start(t.Context(), spec("job", 1, once)))
		time.Sleep(time.Second)
		b.fake.End("job", nil)
		synctest.Wait()
		time.Sleep(time.Second)
		uptime("job", 2*time.Second, 2*time.Second, true) // it has done its work

		require.NoError(t, b.Start(t.Context(), spec("others", 0)))
		time.Sleep(time.Second)
		uptime("others", 0, 0, true)
	})
}

// Healthy is what counts where somebody checks.
func TestUptimeOfTheUnhealthy(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		p := b.patients()
		require.NoError(t, b.Start(t.Context(), spec("a", 1, checked(app.Healthcheck{Readiness: runs("look", 1)}))))
		time.Sleep(15 * time.Second)
		before := b.numbers(t, "a")
		require.True(t, before.Fine)
		p.set(p.ill, "a", true)
		time.Sleep(30 * time.Second)
		after := b.numbers(t, "a")
		require.False(t, after.Fine)
		require.InDelta(t, 30, (after.Expected - before.Expected).Seconds(), 0.001)
		require.Less(t, (after.Correct - before.Correct).Seconds(), 11.0)
		require.Equal(t, masterapi.HealthUnhealthy, after.Health)
	})
}
