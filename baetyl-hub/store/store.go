// Package store keeps what must survive the hub: messages, sessions, retained messages and wills, in one goleveldb
// database.
//
//	many goroutines ──Append(ops)─► queue ─► Run: all that is queued becomes one batch
//	                                           op.Write(tx) …       fills the transactions of the batch
//	                                           write, one fsync     meanwhile the next batch is queued
//	                                           op.Committed(err) …
//	                                           flush()
//
// The store promises:
//   - After Committed(nil) an op is on stable storage (sync: always).
//   - After a crash an op is there completely or not at all.
//   - Ops are written, and their results reported, in the order of Append.
//   - If an op gets an error, the store undoes it before it stores the next one. Two things stay: the acknowledgements
//     of sessions, and the deletion of messages.
//
// There is no timer: a batch is what was queued while the previous one was written. Write and Committed run on one
// goroutine, so that ops may share state without a lock.
//
// A message is stored once, with the list of the sessions that need it. The store counts them in memory. When the last
// one releases the message, the next batch deletes it. The store knows nothing of topics, clients or connections.
package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/syndtr/goleveldb/leveldb"
	ldberrors "github.com/syndtr/goleveldb/leveldb/errors"
	"github.com/syndtr/goleveldb/leveldb/filter"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/storage"

	"github.com/baetyl/baetyl/baetyl-hub/store/journal"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
)

// When a batch is synced to the disk: values of Options.Sync.
const (
	SyncAlways   = "always"   // before Committed: survives a power loss
	SyncInterval = "interval" // every Options.Interval: survives kill -9; a power loss costs the last interval
	SyncNone     = "none"     // when the operating system does it: survives kill -9
)

// Options of a store.
type Options struct {
	Dir       string        // folder of the database, made 0700
	Sync      string        // SyncAlways when empty
	Interval  time.Duration // of SyncInterval; 0 means 1s
	BatchOps  int           // ops in one transaction, at most; a batch may need several, with one sync; 0 means 1000
	MaxBytes  int64         // of stored messages; 0 means no limit
	Log       log.Logger
	FreeSpace func(dir string) (uint64, error) // bytes free on the file system; nil: not watched
	MinFree   uint64                           // bytes that must stay free; below, messages are refused

	// For tests: opens the files of the database, also after a failed write; nil: the folder hub.db in Dir.
	Storage     func() (storage.Storage, error)
	WriteBuffer int // bytes that goleveldb keeps in memory and in a journal before it writes a table; 0 means 8 MiB
}

// Op is one change. The store calls Write once and then Committed once, from the goroutine of Run.
type Op interface {
	// Write adds the change to the batch. If it returns an error, only this op is refused; it must have added nothing.
	Write(tx *Tx) error
	// Committed is called with nil when the change is stored, else with the reason. It must not block.
	Committed(err error)
}

var (
	// ErrFull refuses a message because Options.MaxBytes or Options.MinFree is reached.
	ErrFull = errors.New("the store is full (storage.max, storage.free)")
	// ErrClosed refuses an op after the end of Run.
	ErrClosed = errors.New("the store is closed")
)

// Store is an open database. Append and Messages may be called from any goroutine.
type Store struct {
	o     Options
	dir   string // of the database
	db    atomic.Pointer[leveldb.DB]
	files storage.Storage // of db; used like the fields below
	stats Stats

	broken atomic.Bool    // the last write failed: reopen before the next one
	undo   *leveldb.Batch // written first after reopening: see Tx.inverse; nil: none; used like the fields below

	// Used by the goroutine of Run only, and by Load before it.
	seq    uint64 // of the newest message
	oldest uint64 // no message has a lower number
	needs  needs
	clock  clock
	tx     Tx
	synced time.Time
	free   freeGuard

	mu     sync.Mutex // guards the fields below
	wake   sync.Cond
	queue  []Op
	spare  []Op
	closed bool
}

// Stats counts since the start. Fields are read with Load from any goroutine.
type Stats struct {
	Batches  atomic.Uint64 // transactions written
	Syncs    atomic.Uint64 // of those, with an fsync
	Messages atomic.Int64  // stored now
	Bytes    atomic.Int64  // of stored messages now, keys and values
	Errors   atomic.Uint64 // transactions that could not be written
	Refused  atomic.Uint64 // messages refused with ErrFull
	Expired  atomic.Uint64 // messages removed by RunExpiry
}

// Open opens the database in o.Dir, or makes it. If a power loss has damaged the end of a journal, Open drops it and
// logs a warning. It repairs a damaged database as far as it can be read. Call Load once after Open, then Run.
func Open(o Options) (*Store, error) {
	if o.BatchOps <= 0 {
		o.BatchOps = 1000
	}
	if o.Interval <= 0 {
		o.Interval = time.Second
	}
	if o.Log == nil {
		o.Log = log.Discard()
	}
	if o.WriteBuffer <= 0 {
		o.WriteBuffer = writeBuffer
	}
	dir := filepath.Join(o.Dir, "hub.db")
	if o.Storage == nil {
		if err := makeDir(dir, file.SyncDir); err != nil {
			return nil, fmt.Errorf("open store: %w", err)
		}
		o.Storage = func() (storage.Storage, error) { return journal.Open(dir, int64(o.WriteBuffer), o.Log) }
	}
	s := &Store{o: o, dir: dir, needs: needs{pages: map[uint64]*page{}}}
	s.wake.L = &s.mu
	s.tx.s, s.tx.batch = s, new(leveldb.Batch)
	if err := s.open(); err != nil {
		return nil, err
	}
	running, err := s.db.Load().Get(keyClock, nil)
	if err != nil && !errors.Is(err, leveldb.ErrNotFound) {
		return nil, errors.Join(fmt.Errorf("open store %s: %w", s.dir, err), s.Close())
	}
	s.clock.load(running)
	return s, nil
}

// writeBuffer is the default of Options.WriteBuffer, in bytes.
const writeBuffer = 8 << 20

func (s *Store) open() error {
	options := &opt.Options{
		Filter:      filter.NewBloomFilter(10),
		WriteBuffer: s.o.WriteBuffer,
		// Write large batches like all others: goleveldb's special case for them keeps locks for ever if the disk fails.
		DisableLargeBatchTransaction: true,
		// Block cache and open files sized for small machines.
		BlockCacheCapacity:     4 << 20,
		OpenFilesCacheCapacity: 64,
	}
	files, err := s.o.Storage()
	if err != nil {
		return fmt.Errorf("open store %s: %w", s.dir, err)
	}
	files = &ordered{Storage: files}
	db, err := leveldb.Open(files, options)
	if ldberrors.IsCorrupted(err) {
		s.o.Log.WithError(err).Warnf("store %s is damaged, repairing it", s.dir)
		db, err = leveldb.Recover(files, options)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("open store %s: %w", s.dir, err), files.Close())
	}
	s.db.Store(db)
	s.files = files
	return nil
}

// Stats returns the counters.
func (s *Store) Stats() *Stats { return &s.stats }

// Writable tells whether the last write succeeded. It may be called from any goroutine.
func (s *Store) Writable() bool { return !s.broken.Load() }

// Append queues ops, one directly after the other. It does not block, so the caller must limit the number of its queued
// ops. After the end of Run it returns false, and neither Write nor Committed of the ops is called.
func (s *Store) Append(ops ...Op) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	if len(s.queue) == 0 {
		s.wake.Signal()
	}
	s.queue = append(s.queue, ops...)
	return true
}

// Run commits ops until ctx ends. It then still commits the queued ops and those that they cause, so that a stop of the
// hub loses no acknowledgement. All other sources of ops must have ended before. Run calls flush after the Committed
// calls of each batch.
func (s *Store) Run(ctx context.Context, flush func()) error {
	ending := false // guarded by s.mu
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		ending = true
		s.wake.Signal()
		s.mu.Unlock()
	})
	defer stop()
	for {
		s.mu.Lock()
		for len(s.queue) == 0 && !ending {
			s.wake.Wait()
		}
		if len(s.queue) == 0 {
			s.closed = true
			s.mu.Unlock()
			return nil
		}
		ops := s.queue
		s.queue, s.spare = s.spare[:0], nil
		s.mu.Unlock()
		s.commit(ops)
		flush()
		clear(ops)
		s.spare = ops[:0]
	}
}

// Close closes the database. Call it after Run returned.
func (s *Store) Close() error { return errors.Join(s.db.Load().Close(), s.files.Close()) }

func (s *Store) commit(ops []Op) {
	tx := &s.tx
	tx.reset()
	if s.broken.Load() {
		tx.fail = s.reopen()
	}
	refused := tx.refused[:0]
	for i, op := range ops {
		if i > 0 && i%s.o.BatchOps == 0 {
			s.write(tx, false)
		}
		err := tx.fail
		if err == nil {
			err = op.Write(tx)
		}
		if err != nil {
			refused = append(refused, refusal{i, err})
		}
	}
	tx.refused = refused
	s.write(tx, true)
	tx.forget()
	next := 0
	for i, op := range ops {
		if next < len(refused) && refused[next].i == i {
			op.Committed(refused[next].err)
			next++
			continue
		}
		op.Committed(tx.fail)
	}
}

// write writes a transaction. If last is set it is the last one of its batch: then the batch is synced if it has to be.
// An error is in tx.fail, for all ops of the batch.
func (s *Store) write(tx *Tx, last bool) {
	if tx.fail != nil {
		return
	}
	if tx.batch.Len() == 0 {
		if !last || !tx.begun {
			return
		}
		tx.putClock() // goleveldb does not sync a transaction without content
	}
	if !last {
		tx.remember()
	}
	sync := last && s.due(tx)
	if err := s.db.Load().Write(tx.batch, &opt.WriteOptions{Sync: sync}); err != nil {
		tx.undo()
		s.undo = tx.inverse()
		tx.fail = fmt.Errorf("write store: %w", err)
		s.broken.Store(true)
		s.stats.Errors.Add(1)
		s.o.Log.WithError(err).Errorf("write to store %s failed, refusing messages until a write succeeds", s.dir)
		return
	}
	tx.another()
	s.stats.Batches.Add(1)
	if sync {
		s.stats.Syncs.Add(1)
		s.synced = time.Now()
	}
	if last {
		s.stats.Messages.Add(tx.messages)
		s.stats.Bytes.Add(tx.bytes)
	}
}

// due tells whether a batch has to be synced before Committed of its ops is called.
func (s *Store) due(tx *Tx) bool {
	switch s.o.Sync {
	case SyncAlways, "":
		return tx.sync
	case SyncInterval:
		return time.Since(s.synced) >= s.o.Interval
	}
	return false
}

// reopen recovers from a failed write, for example on a full disk: goleveldb refuses all writes after it.
func (s *Store) reopen() error {
	if err := s.Close(); err != nil && !errors.Is(err, leveldb.ErrClosed) && !errors.Is(err, storage.ErrClosed) {
		s.o.Log.WithError(err).Warnf("close store %s failed, opening it again", s.dir)
	}
	if err := s.open(); err != nil {
		return err
	}
	if err := s.db.Load().Write(s.undo, &opt.WriteOptions{Sync: s.o.Sync != SyncNone}); err != nil {
		return fmt.Errorf("write store: %w", err)
	}
	s.undo = nil
	s.broken.Store(false)
	s.o.Log.Infof("store %s can be written again", s.dir)
	return nil
}
