package service_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/enginetest"
	"github.com/baetyl/baetyl/master/service"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/utils/log"
)

// holding is an engine that holds something for each instance in held.
type holding struct {
	*enginetest.Fake
	held []string
}

func (h *holding) Drop(wanted func(service, instance string) bool) {
	h.held = slices.DeleteFunc(h.held, func(key string) bool { return !wanted(key[:1], key[2:]) })
}

// What an engine holds for the next life of an instance is held over restarts and while an update has stopped its
// service, and let go when there is no such instance any more.
func TestWhatIsHeldForInstances(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		h := &holding{Fake: b.fake}
		b.Manager = service.New(service.Options{
			Engine: h, Records: service.NewRecords(b.records, b.disk, log.Discard()), Grace: time.Second,
			Log: log.Discard(), Boot: b.booted,
		})
		everything := []string{"a/a", "a/a.i1", "a/a.i2", "a/x", "b/b", "c/c"}
		h.held = slices.Clone(everything)
		once := spec("b", 1, func(s *app.Service) { s.Restart.Policy = app.RestartNo })
		specs := []engine.Service{spec("a", 2), once}
		require.NoError(t, b.TakeOver(t.Context(), specs))
		require.Equal(t, []string{"a/a", "a/a.i1", "b/b"}, h.held)
		for _, s := range specs {
			require.NoError(t, b.Start(t.Context(), s))
		}
		require.NoError(t, b.StartInstance(t.Context(), "a", "x", nil, nil))
		h.held = slices.Clone(everything)
		b.Settled()
		require.Equal(t, []string{"a/a", "a/a.i1", "a/x", "b/b"}, h.held)

		h.End("b", errBoom) // for good
		h.End("a", errBoom)
		time.Sleep(time.Millisecond)
		require.NoError(t, b.Stop(t.Context(), "b"))
		require.NoError(t, b.StopInstance(t.Context(), "a", "x", nil))
		require.Equal(t, []string{"a/a", "a/a.i1", "b/b"}, h.held, "an update may start b again")
		require.NoError(t, b.Start(t.Context(), once))
		h.End("b", errBoom)
		time.Sleep(time.Millisecond)
		b.Settled()
		require.Equal(t, []string{"a/a", "a/a.i1", "b/b"}, h.held, "also of what is given up")
		require.NoError(t, b.Stop(t.Context(), "b"))
		b.Settled()
		require.Equal(t, []string{"a/a", "a/a.i1"}, h.held)
	})
}
