// Package store keeps what must survive the hub, in two places below one folder:
//
//	log/    segments, files in which every batch of records is written first: one write and one sync for each batch.
//	        Messages that wait for a session lie here only.
//	state/  a small goleveldb database: sessions, subscriptions, received ids, retained messages, wills, how far
//	        sessions have acknowledged, and in which segments their messages lie. It is a checkpoint of the log.
//
//	core ──record.Batch──► Write ──frame──► log ──► index (memory) ──checkpoint──► state
//	core ◄──record.Entry── Read ◄─────────── log
//
// The store promises:
//   - When Write returns nil, the batch is on stable storage (sync: always), and after a crash all of it is there.
//   - A batch is there completely or not at all.
//   - If Write returns an error, nothing of the batch counts, also after a restart, once a later Write has succeeded.
//     If the hub ends before that, the batch may be there, as after any crash.
//
// In memory there is nothing for each message: a session has a span for each segment in which messages wait for it. A
// segment that no session needs is written over by a later one. Run does in the background what need not be done
// before Write returns: checkpoints, the removal of segments, and compaction, which takes the few messages that are
// still needed out of an old segment.
package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/storage"

	"github.com/baetyl/baetyl/baetyl-hub/store/journal"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
)

// When a batch is synced to the disk: values of Options.Sync.
const (
	SyncAlways   = "always"   // before Write returns: survives a power loss
	SyncInterval = "interval" // every Options.Interval: survives kill -9; a power loss costs the last interval
	SyncNone     = "none"     // when the operating system does it: survives kill -9
)

// Options of a store.
type Options struct {
	Dir         string        // folder of the store, made 0700
	Sync        string        // SyncAlways when empty
	Interval    time.Duration // of SyncInterval; 0 means 1s
	MaxBytes    int64         // of stored messages: see Room; 0 means no limit
	MinFree     uint64        // bytes that must stay free on the file system: see Room
	FreeSpace   func(dir string) (uint64, error)
	SegmentSize int64 // bytes of a segment of the log; 0 means 16 MiB, and at most an eighth of MaxBytes
	Log         log.Logger

	// For tests: the disk of the log, and the files of the state, which are opened again after a failed write.
	Disk    file.Disk                       // file.OS if it is not set
	Storage func() (storage.Storage, error) // nil: the folder state in Dir
	Mark    func() uint64                   // of segments, each another one but 0; nil: random
}

// sizes, in bytes
const (
	segmentSize    = 16 << 20 // default of Options.SegmentSize
	minSegmentSize = 4 << 10
	scarceSize     = 1 << 20 // of a segment while there is little room
	stateBuffer    = 1 << 20 // of goleveldb, in memory and in a journal
	stateCache     = 1 << 20 // of goleveldb
)

// Store is an open store. Write is called from one goroutine at a time; the other methods say who may call them.
type Store struct {
	o     Options
	dir   string // of the log
	log   log.Logger
	clock clock

	// Locks are taken in this order.
	database sync.Mutex // held while the state is written, opened or closed
	writing  sync.Mutex // held while the log is written
	mu       sync.Mutex // guards the index; never held while the disk is used
	spareMu  sync.Mutex // guards the names of spares

	// Guarded by database.
	db     *leveldb.DB
	files  storage.Storage // of db
	frozen *checkpoint     // to be written again; nil: none
	failed bool            // the last checkpoint failed, which the log says once

	// Guarded by writing.
	active *active // nil: the next Write begins a segment
	before ending  // of the last segment, for the header of the next one
	last   uint64  // number of the last segment
	buf    []byte  // of frames
	synced time.Time
	broken atomic.Bool // the last write failed
	closed bool

	// Guarded by mu.
	index index
	moved sync.Cond // a segment is no longer moving or read

	// Of the goroutine of Run.
	considered time.Time // when compactAll looked for segments
	uncompact  bool      // the last compaction failed, which the log says once

	spares    []string
	spareName int

	room      room
	retention atomic.Int64 // of messages, in nanoseconds; 0: no limit
	expired   atomic.Uint64
	batches   atomic.Uint64
	syncs     atomic.Uint64
	errors    atomic.Uint64
	times     times         // of syncs
	work      chan struct{} // Run has something to do; holds one, more are the same
	buffers   sync.Pool     // of *[]byte, to read
}

// Stats are counters since the start, and what is stored now.
type Stats struct {
	Batches  uint64 // written
	Syncs    uint64 // of the log
	Messages int64  // that a session needs: exact for one session, else at least those of the slowest one in each segment
	Bytes    int64  // of messages in segments that a session needs: see Room
	Errors   uint64 // batches that could not be written
	Expired  uint64 // messages removed by RunExpiry
}

// Open opens the store in o.Dir, or makes it. It reads a store that a hub before 1.0.0-rc.1 wrote, once. If a power
// loss has damaged the end of the log, Open drops it and logs a warning. Call Load once after Open.
func Open(o Options) (*Store, error) {
	o = o.withDefaults()
	if err := migrate(o); err != nil {
		return nil, fmt.Errorf("open store %s: %w", o.Dir, err)
	}
	s, err := open(o)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", o.Dir, err)
	}
	return s, nil
}

func (o Options) withDefaults() Options {
	if o.Interval <= 0 {
		o.Interval = time.Second
	}
	if o.Log == nil {
		o.Log = log.Discard()
	}
	o.Disk = o.Disk.Or()
	if o.Mark == nil {
		o.Mark = func() uint64 { return rand.Uint64() | 1 }
	}
	if o.SegmentSize <= 0 {
		o.SegmentSize = segmentSize
		if o.MaxBytes > 0 {
			o.SegmentSize = min(o.SegmentSize, max(o.MaxBytes/8, minSegmentSize))
		}
	}
	return o
}

func open(o Options) (_ *Store, err error) {
	s := &Store{
		o: o, dir: filepath.Join(o.Dir, "log"), log: o.Log, work: make(chan struct{}, 1), index: newIndex(),
		buffers: sync.Pool{New: func() any { return new([]byte) }},
	}
	s.moved.L = &s.mu
	if err := makeDir(o.Disk, s.dir); err != nil {
		return nil, err
	}
	if o.Storage == nil {
		dir := filepath.Join(o.Dir, "state")
		if err := makeDir(o.Disk, dir); err != nil {
			return nil, err
		}
		s.o.Storage = func() (storage.Storage, error) { return journal.Open(dir, stateBuffer, o.Log) }
	}
	if err := s.openState(); err != nil {
		return nil, err
	}
	if err := s.recover(); err != nil {
		return nil, errors.Join(err, s.closeState())
	}
	s.wakeUp()
	return s, nil
}

// makeDir makes a folder whose name survives a power loss, also if a hub that was killed before its sync made it.
func makeDir(d file.Disk, dir string) error {
	if err := d.MakeDir(dir, 0o700); err != nil {
		return err
	}
	return d.SyncDir(filepath.Dir(dir))
}

// Writable tells whether the last write succeeded. It may be called from any goroutine.
func (s *Store) Writable() bool { return !s.broken.Load() }

// Stats returns the counters. It may be called from any goroutine.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{
		Batches: s.batches.Load(), Syncs: s.syncs.Load(), Errors: s.errors.Load(), Expired: s.expired.Load(),
		Bytes: s.index.bytes,
	}
	for _, most := range s.index.live(func(sum, n int64) int64 { return max(sum, n) }) {
		st.Messages += most
	}
	return st
}

// Close writes a last checkpoint and closes the files. Call it after the last Write, and after Run returned.
func (s *Store) Close() error {
	s.writing.Lock()
	var err error
	if s.active != nil {
		err = s.seal()
	}
	s.closed = true
	s.writing.Unlock()
	err = errors.Join(err, s.checkpoint())
	s.removeUnneeded()
	if err = errors.Join(err, s.closeState()); err != nil {
		return fmt.Errorf("close store %s: %w", s.o.Dir, err)
	}
	return nil
}

func (s *Store) wakeUp() {
	select {
	case s.work <- struct{}{}:
	default:
	}
}

func (s *Store) path(number uint64) string { return filepath.Join(s.dir, segmentName(number)) }

// takeSpare returns the path of a file to write over, "" if there is none.
func (s *Store) takeSpare() string {
	s.spareMu.Lock()
	defer s.spareMu.Unlock()
	n := len(s.spares)
	if n == 0 {
		return ""
	}
	name := s.spares[n-1]
	s.spares = s.spares[:n-1]
	return name
}

// removeSpares gives the room of all spares back.
func (s *Store) removeSpares() {
	s.spareMu.Lock()
	defer s.spareMu.Unlock()
	for _, path := range s.spares {
		_ = s.o.Disk.Remove(path) // what stays is a spare again after the next start
	}
	s.spares = nil
}

// giveSpare keeps the file at path as a spare if one is missing, and tells whether it did.
func (s *Store) giveSpare(path string, size int64) bool {
	s.spareMu.Lock()
	defer s.spareMu.Unlock()
	fits := size >= min(growth, s.o.SegmentSize) && size <= 2*s.o.SegmentSize
	if !fits || s.room.scarce.Load() || len(s.spares) >= spareFiles {
		return false
	}
	s.spareName++
	name := filepath.Join(s.dir, fmt.Sprintf("%d%s", s.spareName, spareSuffix))
	if slices.Contains(s.spares, name) || s.o.Disk.Rename(path, name) != nil {
		return false
	}
	s.spares = append(s.spares, name)
	return true
}
