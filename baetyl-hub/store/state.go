package store

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/syndtr/goleveldb/leveldb"
	ldberrors "github.com/syndtr/goleveldb/leveldb/errors"
	"github.com/syndtr/goleveldb/leveldb/filter"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/storage"
	"github.com/syndtr/goleveldb/leveldb/util"
)

// checkpointSize is the size in bytes of changes of the state that are worth a checkpoint.
const checkpointSize = 4 << 20

// changes are those of the state since the last checkpoint, only the newest for each key.
type changes struct {
	values map[string]*change
	gone   map[uint64]struct{} // sessions that were removed; their numbers are never used again
	size   int                 // about that many bytes
}

type change struct {
	value   []byte
	removed bool
}

func newChanges() changes {
	return changes{values: map[string]*change{}, gone: map[uint64]struct{}{}}
}

func (c *changes) set(key []byte) *change {
	x := c.values[string(key)]
	if x == nil {
		x = &change{}
		c.values[string(key)] = x
		c.size += len(key) + 100
	}
	c.size -= len(x.value)
	return x
}

func (c *changes) put(key, value []byte) {
	x := c.set(key)
	x.value, x.removed = append(x.value[:0], value...), false
	c.size += len(value)
}

func (c *changes) remove(key []byte) {
	x := c.set(key)
	x.value, x.removed = nil, true
}

func (c *changes) discard(session uint64) {
	c.gone[session] = struct{}{}
	c.size += 8
}

// hides tells whether a record of the database is not valid any more.
func (c *changes) hides(key []byte) bool {
	if n, _, ok := sessionOf(key); ok {
		if _, gone := c.gone[n]; gone {
			return true
		}
	}
	return c.values[string(key)] != nil
}

// each calls f for the changes, except those of sessions that were removed, in the order of their keys.
func (c *changes) each(f func(key []byte, x *change)) {
	for _, k := range slices.Sorted(maps.Keys(c.values)) {
		n, _, ok := sessionOf([]byte(k))
		if _, gone := c.gone[n]; !ok || !gone {
			f([]byte(k), c.values[k])
		}
	}
}

// checkpoint is the state as it was at a moment, to be written to the database.
type checkpoint struct {
	batch leveldb.Batch
	gone  []uint64
	upto  place
}

// freeze takes what has changed since the last checkpoint; nil: nothing. Called with mu.
func (s *Store) freeze() *checkpoint {
	x := &s.index
	if len(x.changes.values) == 0 && len(x.changes.gone) == 0 && len(x.dirty) == 0 && x.applied == x.safe {
		return nil
	}
	c := &checkpoint{upto: x.applied}
	c.gone = slices.Sorted(maps.Keys(x.changes.gone))
	x.changes.each(func(key []byte, v *change) {
		if v.removed {
			c.batch.Delete(key)
		} else {
			c.batch.Put(key, v.value)
		}
	})
	slices.SortFunc(x.dirty, func(a, b *session) int { return cmp.Compare(a.number, b.number) })
	for _, d := range x.dirty {
		d.dirty = false
		if x.sessions[d.number] != d {
			continue
		}
		c.batch.Put(keyPart(d.number, kindAcked), ackedValue(d))
		for i := range d.spans {
			if p := &d.spans[i]; p.dirty {
				c.batch.Put(keySpan(d.number, p.in.number), p.value())
				p.saved, p.dirty = true, false
			}
		}
	}
	for _, g := range x.segments {
		if g.dirty {
			c.batch.Put(key8(kindSegment, g.number), g.value())
			g.dirty = false
		}
	}
	c.batch.Put(keyClock, numbers(uint64(s.clock.now())))
	c.batch.Put(keyCommon, (&common{x.highest, x.applied}).value())
	clear(x.dirty)
	x.dirty, x.changes = x.dirty[:0], newChanges()
	return c
}

// checkpoint writes the state. After an error the next one begins with the same changes.
func (s *Store) checkpoint() error {
	s.database.Lock()
	defer s.database.Unlock()
	for {
		if s.frozen == nil {
			s.mu.Lock()
			s.frozen = s.freeze()
			s.mu.Unlock()
			if s.frozen == nil {
				return nil
			}
			if err := s.writeState(); err != nil {
				return s.stateFailed(err)
			}
			break
		}
		if err := s.writeState(); err != nil {
			return s.stateFailed(err)
		}
	}
	if s.failed {
		s.failed = false
		s.log.Infof("the state of store %s can be written again", s.o.Dir)
	}
	return nil
}

// stateFailed says it once, and has the database opened again: goleveldb refuses all writes after one that failed.
func (s *Store) stateFailed(err error) error {
	if !s.failed {
		s.failed = true
		s.log.WithError(err).Warnf("checkpoint of store %s failed, trying again", s.o.Dir)
	}
	s.removeSpares() // the disk may be full
	return errors.Join(err, s.closeFiles())
}

// writeState writes s.frozen. The parts of removed sessions are looked for in the database; if that is interrupted, the
// log is applied again from an earlier place.
func (s *Store) writeState() error {
	if s.db == nil {
		if err := s.openState(); err != nil {
			return err
		}
	}
	var parts leveldb.Batch
	for _, n := range s.frozen.gone {
		it := s.db.NewIterator(util.BytesPrefix(keySession(n)), nil)
		for it.Next() {
			parts.Delete(it.Key())
		}
		it.Release()
		if err := it.Error(); err != nil {
			return fmt.Errorf("read state: %w", err)
		}
	}
	if parts.Len() > 0 {
		if err := s.db.Write(&parts, nil); err != nil {
			return fmt.Errorf("write state: %w", err)
		}
	}
	if err := s.db.Write(&s.frozen.batch, &opt.WriteOptions{Sync: true}); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	s.mu.Lock()
	s.index.safe = s.frozen.upto
	s.mu.Unlock()
	s.frozen = nil
	return nil
}

// openState opens the database. Called with database, or before the store runs.
func (s *Store) openState() error {
	options := &opt.Options{
		Filter:      filter.NewBloomFilter(10),
		WriteBuffer: stateBuffer,
		// Write large batches like all others: goleveldb's special case for them keeps locks for ever if the disk fails.
		DisableLargeBatchTransaction: true,
		BlockCacheCapacity:           stateCache,
		OpenFilesCacheCapacity:       16,
	}
	files, err := s.o.Storage()
	if err != nil {
		return fmt.Errorf("open state: %w", err)
	}
	files = &ordered{Storage: files}
	db, err := leveldb.Open(files, options)
	if ldberrors.IsCorrupted(err) {
		s.log.WithError(err).Warnf("the state of store %s is damaged, repairing it", s.o.Dir)
		db, err = leveldb.Recover(files, options)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("open state: %w", err), files.Close())
	}
	s.db, s.files = db, files
	return nil
}

// putClock keeps the running time while nothing else is written. If it fails, so does the next checkpoint.
func (s *Store) putClock() {
	s.database.Lock()
	defer s.database.Unlock()
	if s.db != nil {
		_ = s.db.Put(keyClock, numbers(uint64(s.clock.now())), nil)
	}
}

func (s *Store) closeState() error {
	s.database.Lock()
	defer s.database.Unlock()
	return s.closeFiles()
}

// closeFiles closes the database, if it is open. Called with database.
func (s *Store) closeFiles() error {
	if s.db == nil {
		return nil
	}
	err := errors.Join(ignoreClosed(s.db.Close()), ignoreClosed(s.files.Close()))
	s.db, s.files = nil, nil
	return err
}

func ignoreClosed(err error) error {
	if errors.Is(err, leveldb.ErrClosed) || errors.Is(err, storage.ErrClosed) {
		return nil
	}
	return err
}
