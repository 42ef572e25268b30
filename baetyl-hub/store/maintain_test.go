package store_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/record"
	"github.com/baetyl/baetyl/baetyl-hub/store"
)

func size(t testing.TB, dir string) (bytes int64) {
	t.Helper()
	for _, f := range files(t, dir, "*.seg") {
		if info, err := os.Stat(f); err == nil { // it may be removed meanwhile
			bytes += info.Size()
		}
	}
	return bytes
}

// One message in a hundred for a session that does not come keeps neither the others nor their segments, and is still
// there after compaction, kill -9 and a restart.
func TestCompaction(t *testing.T) {
	r := open(t, store.Options{SegmentSize: 16 << 10, Sync: store.SyncNone})
	r.session(1, 2, 3)
	var rare []string
	for i := range 4000 {
		text := fmt.Sprintf("message %d", i)
		if i%100 == 0 {
			r.put(text, 1, 2)
			rare = append(rare, text)
		} else {
			r.put(text, 1)
		}
	}
	before := size(t, r.o.Dir)
	r.put("for three", 3)
	r.ack(1, 4000)
	check := func(r *rig) {
		t.Helper()
		require.Equal(t, rare, r.waiting(2, 0))
		require.Equal(t, rare[17:], r.waiting(2, 17))
		require.Empty(t, r.waiting(1, 4000))
		require.Equal(t, []string{"for three"}, r.waiting(3, 0))
	}
	check(r)
	eventually(t, "compaction", func() bool { return size(t, r.o.Dir) < before/4 })
	check(r)
	check(r.killed())
	require.GreaterOrEqual(t, r.Stats().Messages, int64(len(rare)))
	r = r.again()
	check(r)
	r.ack(2, 20)
	require.Equal(t, rare[20:], r.waiting(2, 0))
	r = r.again()
	require.Equal(t, rare[20:], r.waiting(2, 20))
	require.GreaterOrEqual(t, r.Stats().Messages, int64(len(rare)-20))
	r.ack(2, 40)
	r.ack(3, 1)
	eventually(t, "removal", func() bool { return len(files(t, r.o.Dir, "*.seg")) <= 2 })
	require.Zero(t, r.Stats().Bytes)
}

// Many short runs of a hub leave few files.
func TestSmallSegmentsAreMerged(t *testing.T) {
	r := open(t, store.Options{})
	r.session(1)
	for i := range 20 {
		r.put(fmt.Sprintf("message %d", i), 1)
		r = r.again()
	}
	eventually(t, "merge", func() bool { return len(files(t, r.o.Dir, "*.seg")) < 6 })
	require.Equal(t, series(0, 20), r.waiting(1, 0))
	require.Equal(t, series(0, 20), r.killed().waiting(1, 0))
	r = r.again()
	require.Equal(t, series(0, 20), r.waiting(1, 0))
}

// expiring is a store in a bubble, whose clock is that of the test.
func expiring(t *testing.T, retention time.Duration, test func(r *rig)) {
	dir := filepath.Join(t.TempDir(), "data")
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(store.Options{Dir: dir})
		require.NoError(t, err)
		r := &rig{
			Store: s, t: t, o: store.Options{Dir: dir}, next: map[uint64]uint64{}, oldest: map[uint64]uint64{},
			content: load(t, s),
		}
		ctx, cancel := context.WithCancel(t.Context())
		go s.Run(ctx)
		go s.RunExpiry(ctx, retention, time.Minute, func(oldest map[uint64]uint64) { maps.Copy(r.oldest, oldest) })
		defer func() {
			cancel()
			synctest.Wait()
			require.NoError(t, s.Close())
			time.Sleep(time.Minute) // goroutines of goleveldb end later
		}()
		test(r)
	})
}

// Messages expire by the running time of the hub: at once for Read, and on the disk a little later.
func TestExpiry(t *testing.T) {
	expiring(t, 10*time.Hour, func(r *rig) {
		r.session(1, 2)
		for i := range 10 {
			r.put(fmt.Sprintf("message %d", i), 1)
		}
		time.Sleep(6 * time.Hour)
		r.put("message 10", 1)
		time.Sleep(4*time.Hour + time.Minute)
		require.Equal(t, series(10, 11), r.waiting(1, 0))
		time.Sleep(2 * time.Minute)
		require.EqualValues(t, 10, r.Stats().Expired)
		require.Equal(t, map[uint64]uint64{1: 10}, r.oldest)
		require.EqualValues(t, 1, r.Stats().Messages)
		list, next, err := r.Read(1, 3, 1, 1000)
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.EqualValues(t, 11, next)
		time.Sleep(8 * time.Hour)
		require.EqualValues(t, 11, r.Stats().Expired)
		require.EqualValues(t, 11, r.oldest[1])
		require.Zero(t, r.Stats().Messages)
		require.Zero(t, r.Stats().Bytes)
		require.LessOrEqual(t, len(files(t, r.o.Dir, "*.seg")), 1)
		_, next, err = r.Read(1, 0, 1, 1000)
		require.NoError(t, err)
		require.EqualValues(t, 11, next)
	})
}

// What a message was old at the end of a hub it is at the start of the next one, but not older.
func TestAgeIsRunningTime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	for run := range 3 {
		synctest.Test(t, func(t *testing.T) {
			s, err := store.Open(store.Options{Dir: dir})
			require.NoError(t, err)
			r := &rig{Store: s, t: t, next: map[uint64]uint64{}, content: load(t, s)}
			ctx, cancel := context.WithCancel(t.Context())
			go s.RunExpiry(ctx, 10*time.Hour, time.Minute, func(map[uint64]uint64) {})
			defer func() {
				cancel()
				synctest.Wait()
				require.NoError(t, s.Close())
				time.Sleep(time.Minute) // goroutines of goleveldb end later
			}()
			switch run {
			case 0:
				r.session(1)
				r.put("message 0", 1)
				time.Sleep(6 * time.Hour)
			case 1:
				require.Len(t, r.waiting(1, 0), 1)
				time.Sleep(3 * time.Hour)
				require.Len(t, r.waiting(1, 0), 1)
			case 2:
				time.Sleep(90 * time.Minute)
				require.Empty(t, r.waiting(1, 0))
			}
		})
	}
}

func TestRoom(t *testing.T) {
	r := open(t, store.Options{MaxBytes: 64 << 10, MinFree: 1 << 20,
		FreeSpace: func(string) (uint64, error) { return 1<<20 + 10000, nil }})
	require.EqualValues(t, 10000, r.Room(0))
	r.session(1)
	r.put(strings.Repeat("x", 2000), 1)
	require.Less(t, r.Room(0), int64(8000)) // the file system is asked later
	r = open(t, store.Options{MaxBytes: 64 << 10})
	r.session(1)
	require.EqualValues(t, 64<<10, r.Room(0))
	require.EqualValues(t, 24<<10, r.Room(40<<10)) // retained messages count
	require.Zero(t, r.Room(65<<10))
	n := 0
	for ; r.Room(0) > 1000; n++ {
		r.put(strings.Repeat("x", 900), 1)
	}
	require.InDelta(t, 70, n, 5)
	r = r.again()
	require.LessOrEqual(t, r.Room(0), int64(1000))
	r.ack(1, uint64(n/2))
	eventually(t, "room after half is acknowledged", func() bool { return r.Room(0) > 16<<10 })
	r.ack(1, uint64(n))
	require.EqualValues(t, 64<<10, r.Room(0))
	r = open(t, store.Options{})
	require.Greater(t, r.Room(0), int64(1)<<60)
}

// On a disk with little room no spares are kept.
func TestScarceRoom(t *testing.T) {
	var free atomic.Uint64
	free.Store(1 << 30)
	asked := 0
	r := open(t, store.Options{SegmentSize: 8 << 10, Sync: store.SyncNone,
		FreeSpace: func(string) (uint64, error) { asked++; return free.Load(), nil }})
	r.session(1)
	i := 0
	for ; len(files(t, r.o.Dir, "*.spare")) == 0; i++ {
		r.put("message", 1)
		r.ack(1, uint64(i+1))
	}
	free.Store(10 << 10)
	eventually(t, "removal of spares", func() bool {
		r.Room(0)
		return len(files(t, r.o.Dir, "*.spare")) == 0
	})
	r.Room(0)
	require.LessOrEqual(t, asked, 30)
	for range 1000 {
		r.put("message", 1)
		i++
		r.ack(1, uint64(i))
		require.Empty(t, files(t, r.o.Dir, "*.spare"))
	}
}

// A batch is synced as the options say.
func TestSyncs(t *testing.T) {
	ack := func(b *record.Batch) { b.Acked(1, []byte{0}, false) }
	r := open(t, store.Options{})
	r.session(1)
	syncs := r.Stats().Syncs
	r.write(ack)
	require.Equal(t, syncs, r.Stats().Syncs)
	r.put("message", 1)
	require.Equal(t, syncs+1, r.Stats().Syncs)
	r = open(t, store.Options{Sync: store.SyncNone})
	r.session(1)
	require.Zero(t, r.Stats().Syncs)
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(store.Options{Dir: t.TempDir(), Sync: store.SyncInterval, Interval: time.Minute})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		go s.Run(ctx)
		r := &rig{Store: s, t: t, next: map[uint64]uint64{}}
		r.session(1)
		syncs := s.Stats().Syncs
		time.Sleep(time.Second)
		r.put("message", 1)
		require.Equal(t, syncs, s.Stats().Syncs)
		time.Sleep(2 * time.Minute)
		require.Equal(t, syncs+1, s.Stats().Syncs)
		time.Sleep(time.Hour)
		require.Equal(t, syncs+1, s.Stats().Syncs)
		cancel()
		synctest.Wait()
		require.NoError(t, s.Close())
		time.Sleep(time.Minute) // goroutines of goleveldb end later
	})
}

// model is what must be in a store, for TestModel.
type model struct {
	head uint64
	list []string // by position
}

// Random work with restarts and kills gives what a simple model has.
func TestModel(t *testing.T) {
	for seed := range uint64(6) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		r := open(t, store.Options{SegmentSize: 4 << 10 << rnd.IntN(4), Sync: store.SyncNone})
		want := map[uint64]*model{}
		number := uint64(0)
		pick := func() (n uint64) {
			for n = range want {
				break
			}
			return n
		}
		for step := range 1500 {
			switch k := rnd.IntN(100); {
			case k < 2 || len(want) == 0:
				number++
				r.session(number)
				want[number] = &model{}
			case k < 3:
				n := pick()
				r.write(func(b *record.Batch) { b.DeleteSession(n) })
				delete(want, n)
			case k < 80:
				r.write(func(b *record.Batch) {
					for range 1 + rnd.IntN(5) {
						var to []uint64
						text := fmt.Sprint(step, strings.Repeat("x", rnd.IntN(100)))
						for n, m := range want {
							if rnd.IntN(3) == 0 {
								to = append(to, n)
								m.list = append(m.list, text)
							}
						}
						r.publish(b, text, to...)
					}
				})
			case k < 99:
				n := pick()
				m := want[n]
				m.head += rnd.Uint64N(uint64(len(m.list)) - m.head + 1)
				r.ack(n, m.head)
			case rnd.IntN(2) == 0:
				r = r.again()
			default:
				r.stop()
				dir := duplicate(t, r.o.Dir)
				require.NoError(t, r.Close())
				r.o.Dir = dir
				r = open(t, r.o)
			}
			if step%50 == 0 {
				for n, m := range want {
					require.Equal(t, strings.Join(m.list[m.head:], " "), strings.Join(r.waiting(n, m.head), " "),
						"seed %d, step %d, session %d", seed, step, n)
				}
			}
		}
		r.stop()
		require.NoError(t, r.Close())
	}
}
