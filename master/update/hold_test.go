package update

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// A backup that comes while a person stops a service waits for that; while an update runs it does not.
func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := &Updater{free: make(chan struct{}, 1), ended: make(chan struct{})} // taken
		time.AfterFunc(30*time.Second, u.release)
		release, err := u.Hold(t.Context())
		require.NoError(t, err)
		_, err = u.Hold(t.Context())
		require.ErrorIs(t, err, masterapi.ErrBusy, "after a minute")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = u.Hold(ctx)
		require.ErrorIs(t, err, masterapi.ErrBusy, "whoever asks has gone")
		release()

		require.NoError(t, u.take(t.Context(), false))
		u.updating.Store(true)
		began := time.Now()
		_, err = u.Hold(t.Context())
		require.ErrorIs(t, err, masterapi.ErrBusy)
		require.Zero(t, time.Since(began))
		close(u.ended)
	})
}
