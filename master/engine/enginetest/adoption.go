package enginetest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
)

// runAdoption checks that a later master finds what an earlier one has started.
func runAdoption(t *testing.T, f Factory) {
	start := func(t *testing.T, p Program) (engine.Engine, engine.Sandbox, engine.Instance) {
		e := f.New(t)
		box, err := e.Open(t.Context(), f.Service(t, "svc", p))
		require.NoError(t, err)
		i, err := box.Start(t.Context(), engine.Spec{Name: "svc", Handle: handle(), Env: map[string]string{"X": "1=2"}})
		require.NoError(t, err)
		return e, box, i
	}
	// next opens the service on the engine of the next master, which was told to keep the records.
	next := func(t *testing.T, e engine.Engine, p Program, keep ...engine.Record) engine.Sandbox {
		e = f.Next(t, e)
		require.NoError(t, e.Reap(t.Context(), keep, keep))
		box, err := e.Open(t.Context(), f.Service(t, "svc", p))
		require.NoError(t, err)
		return box
	}
	spec := func(r engine.Record) engine.Spec { return engine.Spec{Name: r.Instance, Handle: r.Handle} }

	t.Run("what runs is the same afterwards", func(t *testing.T) {
		e, _, i := start(t, Runs)
		Output(t, i, "up")
		box := next(t, e, Runs, i.Record())
		require.True(t, f.Alive(i.Record()))
		adopted, err := box.Adopt(t.Context(), spec(i.Record()), i.Record())
		require.NoError(t, err)
		require.Equal(t, i.Record(), adopted.Record())
		require.True(t, f.Alive(i.Record()))
		stop(t, adopted, time.Minute)
		require.False(t, f.Alive(i.Record()))
		_, err = box.Adopt(t.Context(), spec(i.Record()), i.Record())
		require.ErrorIs(t, err, engine.ErrGone, "it was stopped")
		require.NoError(t, box.Close())
	})
	t.Run("what an earlier master has left frozen goes on", func(t *testing.T) {
		e, _, i := start(t, Runs)
		Output(t, i, "up")
		require.NoError(t, i.Freeze(t.Context()))
		box := next(t, e, Runs, i.Record())
		adopted, err := box.Adopt(t.Context(), spec(i.Record()), i.Record())
		require.NoError(t, err)
		began := time.Now()
		stop(t, adopted, time.Minute)
		require.Less(t, time.Since(began), time.Minute, "it was killed")
		require.NoError(t, box.Close())
	})
	t.Run("how it ended meanwhile is known, until it is stopped", func(t *testing.T) {
		e, _, i := start(t, Fails)
		Ended(t, i)
		for range 2 {
			box := next(t, e, Fails, i.Record())
			adopted, err := box.Adopt(t.Context(), spec(i.Record()), i.Record())
			require.NoError(t, err)
			Ended(t, adopted)
			require.ErrorContains(t, adopted.Exit().Err, "exit code")
			require.ErrorContains(t, adopted.Exit().Err, "3")
		}
		box := next(t, e, Fails, i.Record())
		adopted, err := box.Adopt(t.Context(), spec(i.Record()), i.Record())
		require.NoError(t, err)
		stop(t, adopted, time.Minute)
		_, err = box.Adopt(t.Context(), spec(i.Record()), i.Record())
		require.ErrorIs(t, err, engine.ErrGone)
		require.NoError(t, box.Close())
	})
	t.Run("a start that was not recorded to its end is found by its handle", func(t *testing.T) {
		e, _, i := start(t, Runs)
		r := engine.Record{Engine: i.Record().Engine, Service: "svc", Instance: "svc", Handle: i.Record().Handle}
		box := next(t, e, Runs, r)
		adopted, err := box.Adopt(t.Context(), spec(r), r)
		require.NoError(t, err)
		require.Equal(t, i.Record(), adopted.Record())
		stop(t, adopted, time.Minute)
		require.NoError(t, box.Close())
	})
	t.Run("what cannot be adopted is ended alone", func(t *testing.T) {
		e, box, i := start(t, Runs)
		other, err := box.Start(t.Context(), engine.Spec{Name: "svc.i1", Handle: handle()})
		require.NoError(t, err)
		e = f.Next(t, e)
		keep := []engine.Record{i.Record(), other.Record()}
		require.NoError(t, e.Reap(t.Context(), keep, keep))
		box, err = e.Open(t.Context(), f.Service(t, "svc", Runs))
		require.NoError(t, err)
		late, err := box.Start(t.Context(), engine.Spec{Name: "svc.i2", Handle: handle()})
		require.NoError(t, err)
		unknown := engine.Record{Engine: e.Name(), Service: "svc", Instance: "svc.i9", Handle: handle()}
		require.NoError(t, e.Discard(t.Context(), unknown))
		require.True(t, f.Alive(i.Record()))
		require.NoError(t, e.Discard(t.Context(), i.Record()))
		require.False(t, f.Alive(i.Record()))
		_, err = box.Adopt(t.Context(), spec(i.Record()), i.Record())
		require.ErrorIs(t, err, engine.ErrGone)
		adopted, err := box.Adopt(t.Context(), spec(other.Record()), other.Record())
		require.NoError(t, err)
		for _, o := range []engine.Instance{adopted, late} {
			require.True(t, f.Alive(o.Record()), "others are left alone")
			stop(t, o, time.Minute)
		}
		require.NoError(t, box.Close())
	})
	t.Run("what never started is gone", func(t *testing.T) {
		e := f.New(t)
		r := engine.Record{Engine: e.Name(), Service: "svc", Instance: "svc", Handle: handle()}
		box := next(t, e, Runs, r)
		_, err := box.Adopt(t.Context(), spec(r), r)
		require.ErrorIs(t, err, engine.ErrGone)
		require.NoError(t, box.Close())
	})
}
