package store

import (
	"errors"

	"github.com/syndtr/goleveldb/leveldb"
	"github.com/syndtr/goleveldb/leveldb/opt"
)

// A failed transaction may still be on the disk, completely if only its sync failed. But its ops get an error, and the
// state in memory does not include them. So when the store is open again, it first writes the inverse of the batch. If
// the hub ends before that, the batch may be there, as after any crash.

// remember is called before a transaction that is not the last one of its batch is written.
func (tx *Tx) remember() {
	if tx.before == nil {
		tx.before, _ = tx.s.db.Load().GetSnapshot() // the write meets an error again
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

// The buffers of transactions are used again: so many of them, and none with more bytes.
const (
	spareBatches = 32
	spareSize    = 64 << 10
)

// forget ends a batch: it drops what inverse needed.
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

// inverse returns the changes that undo the batch.
func (tx *Tx) inverse() *leveldb.Batch {
	v := &inverse{get: tx.s.db.Load().Get, seen: map[string]bool{}}
	if tx.before != nil {
		v.get = tx.before.Get
	}
	for _, b := range append(tx.earlier, tx.batch) {
		_ = b.Replay(v) // never fails: this program made b
	}
	if v.fault != nil {
		tx.s.o.Log.WithError(v.fault).
			Warnf("some records can't be read to undo a failed write, so refused changes may be stored")
	}
	return &v.batch
}

// inverse implements leveldb.BatchReplay: it makes the changes that undo those of a transaction.
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

// Delete implements leveldb.BatchReplay. It does not restore messages: a deleted message was acknowledged, or
// expired, or belonged to a discarded session, and a million of them would not fit into memory. For the same reason
// acknowledgements stay: without its message a QoS 2 exchange can only go on with PUBREL.
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
