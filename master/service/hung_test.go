package service_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/file"
)

// hungDisk takes no write from a moment on, until it is let go.
type hungDisk struct {
	file.FS
	hangs chan struct{} // nil: it works
}

func (h *hungDisk) Rename(from, to string) error {
	if h.hangs != nil {
		<-h.hangs
	}
	return h.FS.Rename(from, to)
}

// A write of the records that hangs keeps no master from leaving, and nobody from a look at what runs.
func TestLeaveOnAHungDisk(t *testing.T) {
	bubble(t, func(t *testing.T, b *bench) {
		disk := &hungDisk{FS: file.OS.Or().FS}
		b.disk = file.Disk{FS: disk}
		b.manager()
		specs := []engine.Service{spec("a", 1), spec("b", 1)}
		b.boot(t, specs...)
		disk.hangs = make(chan struct{})
		b.fake.End("a", errBoom)
		synctest.Wait()
		require.Equal(t, masterapi.StatusRestarting, b.instance(t, "a", "a").Status)
		began := time.Now()
		left := make(chan struct{})
		go func() { b.Leave(); close(left) }()
		select {
		case <-left:
		case <-time.After(time.Minute):
			close(disk.hangs)
			t.Fatal("the master does not leave")
		}
		require.LessOrEqual(t, time.Since(began), 5*time.Second)
		close(disk.hangs) // as the end of the process does
		synctest.Wait()
		b.disk = file.OS
		b.next()
		b.boot(t, specs...)
		time.Sleep(time.Minute)
		require.Equal(t, []string{"a", "b"}, b.fake.Running())
	})
}
