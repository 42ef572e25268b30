package service_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/service"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// An instance that hangs and is killed gets no grace time, whatever its service says.
func TestKillInstance(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		f := spec("f", 0)
		f.Stop.Grace = time.Hour
		b.boot(t, spec("hub", 1), f)
		require.NoError(t, b.StartInstance(t.Context(), "f", "f.x", nil, nil))
		b.fake.IgnoreStop()
		began := time.Now()
		require.NoError(t, b.KillInstance(t.Context(), "f", "f.x", nil))
		require.Zero(t, time.Since(began))
		require.Equal(t, []string{"hub"}, b.fake.Running())
		require.NoError(t, b.KillInstance(t.Context(), "f", "f.x", nil), "there is none")
		require.ErrorIs(t, b.KillInstance(t.Context(), "hub", "hub", nil), service.ErrForbidden)
	})
}

// The engine is told who has asked for an instance: at its start, when it is started again, and by the next master.
func TestCallerOfAnInstance(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		manager, f := spec("manager", 1), spec("f", 0)
		manager.User, f.Image = "1000", "socket"
		specs := []engine.Service{manager, f}
		b.boot(t, specs...)
		require.Equal(t, "unix:/run/f.x", b.Address("f", "f.x"))
		require.Empty(t, b.Address("manager", "manager.x"))
		require.Empty(t, b.Address("f", "../x"))
		require.Empty(t, b.Address("ghost", "ghost.x"))
		want := engine.Member{Service: "manager", User: "1000"}
		require.NoError(t, b.StartInstance(t.Context(), "f", "f.x", nil, &service.Caller{Service: "manager"}))
		require.NoError(t, b.StartInstance(t.Context(), "f", "f.y", nil, nil))
		require.Equal(t, want, b.fake.Caller("f.x"))
		require.Zero(t, b.fake.Caller("f.y"))
		require.Zero(t, b.fake.Caller("manager"))
		b.Leave()
		b.next()
		b.boot(t, specs...)
		starts := b.fake.Starts("f.x")
		b.fake.End("f.x", errBoom)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Equal(t, masterapi.StatusRunning, b.instance(t, "f", "f.x").Status)
		require.Greater(t, b.fake.Starts("f.x"), starts)
		require.Equal(t, want, b.fake.Caller("f.x"))
	})
}
