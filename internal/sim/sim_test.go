package sim_test

import (
	"io"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/storage"

	"github.com/baetyl/baetyl/internal/sim"
	"github.com/baetyl/baetyl/utils/file"
)

func write(t *testing.T, d file.Disk, name, text string) file.File {
	t.Helper()
	f, err := d.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	require.NoError(t, err)
	_, err = f.Write([]byte(text))
	require.NoError(t, err)
	return f
}

// What is synced with its name is there after each power cut; what is not is there in some.
func TestCut(t *testing.T) {
	got := map[string]int{}
	for seed := range uint64(300) {
		d := sim.NewDisk(sim.Rand(seed, 0))
		p := d.Open()
		f := write(t, p, "/f", "safe")
		require.NoError(t, f.Sync())
		dir, err := p.OpenFile("/", os.O_RDONLY, 0)
		require.NoError(t, err)
		require.NoError(t, dir.Sync())
		_, err = f.Write(make([]byte, 2*512))
		require.NoError(t, err)
		require.NoError(t, p.WriteAtomic("/g", []byte("whole"), 0o600))
		write(t, p, "/h", "perhaps")
		d.Cut()
		_, err = p.Stat("/f")
		require.ErrorIs(t, err, sim.ErrOff, "the process has ended")
		p = d.Open()
		data, err := p.ReadFile("/f")
		require.NoError(t, err)
		require.Equal(t, "safe", string(data[:4]))
		got["f"+string(rune('0'+len(data)*9/(4+2*512)))]++
		data, err = p.ReadFile("/g")
		require.NoError(t, err)
		require.Equal(t, "whole", string(data))
		if data, err = p.ReadFile("/h"); err == nil {
			got["h"+string(data)]++
		}
	}
	for _, kind := range []string{"f0", "f9", "h", "hperhaps"} {
		require.Positive(t, got[kind], "%s: %v", kind, got)
	}
}

func TestFull(t *testing.T) {
	d := sim.NewDisk(sim.Rand(1, 0))
	p := d.Open()
	f := write(t, p, "/f", "1234")
	d.Limit(6)
	n, err := f.Write([]byte("5678"))
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.Zero(t, n)
	_, err = f.WriteAt([]byte("abcd"), 0)
	require.NoError(t, err, "needs no space")
	require.NoError(t, p.Remove("/f"))
	write(t, p, "/g", "123456")
	free, err := d.Free("")
	require.NoError(t, err)
	require.Zero(t, free)
}

// goleveldb on the disk keeps what it has synced, over many cuts and errors.
func TestDatabase(t *testing.T) {
	for seed := range uint64(40) {
		rnd := sim.Rand(seed, 1)
		d := sim.NewDisk(sim.Rand(seed, 0))
		var files storage.Storage
		open := func() *leveldb.DB {
			var err error
			files, err = sim.Storage(d.Open(), "/a/db")
			require.NoError(t, err)
			db, err := leveldb.Open(files, &opt.Options{WriteBuffer: 4 << 10})
			require.NoError(t, err, "seed %d", seed)
			return db
		}
		db := open()
		safe := map[string]bool{}
		for i := range 200 {
			key := string(rune('a'+i%26)) + string(rune('0'+i%10)) + string(rune('A'+i/26))
			require.NoError(t, db.Put([]byte(key), make([]byte, 200), &opt.WriteOptions{Sync: true}))
			safe[key] = true
			if rnd.IntN(40) == 0 {
				d.Cut()
				_ = db.Close()
				_ = files.Close()
				db = open()
			}
		}
		for key := range safe {
			_, err := db.Get([]byte(key), nil)
			require.NoError(t, err, "seed %d: %s", seed, key)
		}
		require.NoError(t, db.Close())
	}
}

func TestNet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := sim.NewNet(sim.Rand(1, 0))
		a, b := n.Pair(sim.Link{Latency: time.Second, Buffer: 4})
		begin := time.Now()
		_, err := a.Write([]byte("hello"))
		require.NoError(t, err)
		got := make([]byte, 5)
		_, err = io.ReadFull(b, got)
		require.NoError(t, err)
		require.Equal(t, "hello", string(got))
		require.LessOrEqual(t, time.Since(begin), time.Second)

		require.NoError(t, b.SetReadDeadline(time.Now().Add(time.Minute)))
		_, err = b.Read(got)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.NoError(t, b.SetWriteDeadline(time.Now().Add(time.Minute)))
		sent, err := b.Write([]byte("123456"))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, "the client does not read")
		require.Equal(t, 4, sent)

		require.NoError(t, b.Close())
		data, err := io.ReadAll(a)
		require.NoError(t, err, "what was written arrives before the end")
		require.Equal(t, "1234", string(data))

		a, b = n.Pair(sim.Link{})
		go a.Cut()
		_, err = b.Read(got)
		require.ErrorIs(t, err, syscall.ECONNRESET)
		require.True(t, a.Ended())
	})
}
