package service_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/service"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// hold makes the engine wait in the effect op until the func that it returns is called.
func (b *bench) hold(op string) (release func()) {
	held := make(chan struct{})
	b.fake.Hook(func(at string) error {
		if at == op {
			<-held
		}
		return nil
	})
	return func() { close(held) }
}

// While a master takes over, the API answers. Starts and stops wait: they end nothing that is to run on, and take no
// record out of the file, at whatever moment they come.
func TestCallsDuringTakeOver(t *testing.T) {
	for _, op := range []string{"reap", "reaped"} {
		t.Run(op, func(t *testing.T) {
			bubble(t, func(t *testing.T, b *bench) {
				specs := []engine.Service{spec("hub", 1), spec("many", 2), spec("f", 0)}
				b.boot(t, specs...)
				for _, name := range []string{"f.x", "f.y"} {
					require.NoError(t, b.StartInstance(t.Context(), "f", name, nil, nil))
				}
				before := b.fake.Records()
				token := b.fake.Env("hub")[masterapi.EnvServiceToken]
				b.Leave()
				file, err := os.ReadFile(b.records)
				require.NoError(t, err)
				b.next()
				release := b.hold(op)
				over := make(chan error, 1)
				go func() { over <- b.TakeOver(context.Background(), specs) }()
				<-b.Known()
				calls := make(chan error, 2)
				go func() { calls <- b.StopInstance(context.Background(), "f", "f.x", nil) }()
				require.ErrorIs(t, b.StopInstance(t.Context(), "many", "many.i1", nil), service.ErrForbidden)
				go func() { calls <- b.StartInstance(context.Background(), "f", "f.z", nil, nil) }()
				gaveUp, cancel := context.WithCancel(t.Context())
				cancel()
				require.ErrorIs(t, b.StartInstance(gaveUp, "f", "f.z", nil, nil), context.Canceled)
				synctest.Wait()
				_, ok := b.Authenticate("hub", token)
				require.True(t, ok)
				require.Equal(t, masterapi.StatusRunning, b.instance(t, "hub", "hub").Status)
				require.Equal(t, before, b.fake.Records())
				now, err := os.ReadFile(b.records)
				require.NoError(t, err)
				if op == "reap" { // after it the file is written anew
					require.Equal(t, string(file), string(now), "a master that is killed now forgets nothing")
				}
				release()
				require.NoError(t, <-over)
				for range cap(calls) {
					require.NoError(t, <-calls)
				}
				for _, s := range specs {
					require.NoError(t, b.Start(t.Context(), s))
				}
				after := b.fake.Records()
				require.Equal(t, before["hub"], after["hub"])
				require.Equal(t, before["many"], after["many"])
				require.Equal(t, before["f.y"], after["f.y"])
				require.Equal(t, []string{"f.y", "f.z", "hub", "many", "many.i1"}, b.fake.Running())
				b.replace(t, specs...)
				require.Equal(t, after, b.fake.Records(), "and so says the file")
			})
		})
	}
}

// Calls that wait for the end of a take-over are told when the master leaves meanwhile.
func TestLeaveDuringTakeOver(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		specs := []engine.Service{spec("hub", 1), spec("f", 0)}
		b.boot(t, specs...)
		require.NoError(t, b.StartInstance(t.Context(), "f", "f.x", nil, nil))
		before := b.fake.Records()
		b.Leave()
		b.next()
		release := b.hold("reap")
		over := make(chan error, 1)
		go func() { over <- b.TakeOver(context.Background(), specs) }()
		<-b.Known()
		calls := make(chan error, 2)
		go func() { calls <- b.StopInstance(context.Background(), "f", "f.x", nil) }()
		go func() { calls <- b.StartInstance(context.Background(), "f", "f.z", nil, nil) }()
		synctest.Wait()
		b.Leave()
		for range cap(calls) {
			require.Error(t, <-calls)
		}
		release()
		err := <-over
		require.True(t, err != nil && !errors.Is(err, context.Canceled), "%v", err)
		b.next()
		b.boot(t, specs...)
		require.Equal(t, before, b.fake.Records())
	})
}
