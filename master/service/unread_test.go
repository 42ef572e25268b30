package service_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/service"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/file"
)

// noFiles is a disk on which the records cannot be opened for a while: the master has no descriptor left.
type noFiles struct {
	file.FS
	full atomic.Bool
}

func (n *noFiles) OpenFile(name string, flag int, perm fs.FileMode) (file.File, error) {
	if n.full.Load() && flag == os.O_RDONLY && filepath.Base(name) == "instances.json" {
		return nil, syscall.EMFILE
	}
	return n.FS.OpenFile(name, flag, perm)
}

// unread lets a master take over that cannot read the records.
func (b *bench) unread(t *testing.T, specs ...engine.Service) *noFiles {
	b.boot(t, specs...)
	b.Leave()
	disk := &noFiles{FS: file.OS.Or().FS}
	disk.full.Store(true)
	b.disk = file.Disk{FS: disk}
	b.next()
	return disk
}

// Records that cannot be read for a while cost no service.
func TestRecordsAreReadAgain(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		specs := []engine.Service{spec("hub", 1), spec("many", 2)}
		disk := b.unread(t, specs...)
		before := b.fake.Records()
		time.AfterFunc(20*time.Second, func() { disk.full.Store(false) })
		b.boot(t, specs...)
		require.Equal(t, before, b.fake.Records())
	})
}

// The mode of what was left is known before anything else of a master is made, without a change of the file.
func TestModeLeft(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		require.Empty(t, service.ModeLeft(b.records, b.booted))
		b.boot(t, spec("hub", 1))
		require.Equal(t, masterapi.ModeNative, service.ModeLeft(b.records, b.booted))
		require.Empty(t, service.ModeLeft(b.records, "another"), "of a boot before nothing runs")
		b.stopAll(t)
		require.Empty(t, service.ModeLeft(b.records, b.booted))
		require.NoError(t, os.WriteFile(b.records, []byte("[{"), 0o600))
		require.Empty(t, service.ModeLeft(b.records, b.booted))
		require.NoError(t, os.Remove(b.records))
	})
}

// A master that is asked to end before it can read them has touched nothing.
func TestEndWhileRecordsAreUnread(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		specs := []engine.Service{spec("hub", 1)}
		disk := b.unread(t, specs...)
		before := b.fake.Records()
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan error, 1)
		go func() { over <- b.TakeOver(ctx, specs) }()
		synctest.Wait()
		require.Equal(t, before, b.fake.Records())
		cancel()
		require.ErrorIs(t, <-over, context.Canceled)
		require.Equal(t, before, b.fake.Records())
		disk.full.Store(false)
		b.replace(t, specs...)
		require.Equal(t, before, b.fake.Records())
	})
}

// Records that nobody will ever read again do not keep the device without a master: everything begins anew.
func TestRecordsStayUnread(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		specs := []engine.Service{spec("hub", 1)}
		disk := b.unread(t, specs...)
		before := b.fake.Records()
		began := time.Now()
		require.ErrorIs(t, b.TakeOver(t.Context(), specs), syscall.EMFILE, "they cannot be written either")
		require.Equal(t, time.Minute, time.Since(began).Truncate(10*time.Second))
		require.NoError(t, b.Start(t.Context(), specs[0]))
		require.NotEqual(t, before, b.fake.Records())
		require.Equal(t, []string{"hub"}, b.fake.Running())
		disk.full.Store(false)
	})
}
