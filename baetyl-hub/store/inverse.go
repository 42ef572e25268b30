package store

import (
	"errors"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/opt"
)

// A transaction that failed may be on the disk all the same: whole, if only its sync failed. Its ops are told that
// they are not stored, and what is in memory goes on from there. So the first thing that is written when the store is
// open again is the inverse of the batch. If the hub ends before, nothing has been built on the failure: then the
// batch may be there, as after any crash.

// remember is called before a transaction that is not the last one of its batch is written.
func (tx *Tx) remember() {
	if tx.before == nil {
		tx.before, _ = tx.s.db.Load().GetSnapshot() // an error comes up again in the write
	}
}

// another begins the next transaction of a batch.
func (tx *Tx) another() {
	tx.begun = true
	tx.earlier = append(tx.earlier, tx.batch)
	if n := len(tx.spares); n > 0 {
		tx.batch, tx.spares = tx.spares[n-1], tx.spares[:n-1]
	} else {
		tx.batch = new(leveldb.Batch)
	}
}

// The memory of transactions is used again: of so many, and of none that was larger, in bytes.
const (
	spareBatches = 32
	spareSize    = 64 << 10
)

// forget ends a batch.
func (tx *Tx) forget() {
	if tx.before != nil {
		tx.before.Release()
		tx.before = nil
	}
	for _, b := range tx.earlier {
		if len(tx.spares) < spareBatches && len(b.Dump()) <= spareSize {
			b.Reset()
			tx.spares = append(tx.spares, b)
		}
	}
	clear(tx.earlier)
	tx.earlier = tx.earlier[:0]
}

// inverse returns what brings the database back to where it was before the batch.
func (tx *Tx) inverse() *leveldb.Batch {
	v := &inverse{get: tx.s.db.Load().Get, seen: map[string]bool{}}
	if tx.before != nil {
		v.get = tx.before.Get
	}
	for _, b := range append(tx.earlier, tx.batch) {
		_ = b.Replay(v) // no error: it is this program's own
	}
	if v.fault != nil {
		tx.s.o.Log.WithError(v.fault).Warnf("some records can't be read, so what was refused may be there after all")
	}
	return &v.batch
}

// inverse implements leveldb.BatchReplay.
type inverse struct {
	batch leveldb.Batch
	get   func(key []byte, o *opt.ReadOptions) ([]byte, error)
	seen  map[string]bool
	fault error
}

// Put implements leveldb.BatchReplay.
func (v *inverse) Put(key, _ []byte) {
	switch key[0] {
	case kindMessage: // each is put once
		v.batch.Delete(key)
	case kindAcked: // see Delete
	default:
		v.restore(key)
	}
}

// Delete implements leveldb.BatchReplay. A message that is deleted was acknowledged, expired, or belonged to a
// session that was to be discarded: it may be gone, and a million of them would not fit into memory. What is
// acknowledged stays so with it: of a QoS 2 message it says that PUBREL must follow.
func (v *inverse) Delete(key []byte) {
	if key[0] != kindMessage {
		v.restore(key)
	}
}

func (v *inverse) restore(key []byte) {
	if v.seen[string(key)] {
		return
	}
	v.seen[string(key)] = true
	value, err := v.get(key, nil)
	switch {
	case err == nil:
		v.batch.Put(key, value)
	case errors.Is(err, leveldb.ErrNotFound):
		v.batch.Delete(key)
	default:
		v.fault = err
	}
}
