package store

import (
	"encoding/binary"

	"github.com/256dpi/gomqtt/packet"
	"github.com/syndtr/goleveldb/leveldb"
)

// Tx is the batch that is being made. It is valid during Op.Write only.
type Tx struct {
	s        *Store
	batch    *leveldb.Batch // the transaction that is being made
	begun    bool           // the batch has earlier transactions
	buf      []byte
	sync     bool  // the batch must be on stable storage before Committed of its ops
	fail     error // why nothing of the batch can be written
	messages int64 // change of the number of messages
	bytes    int64 // change of their size
	set      []need
	refused  []refusal

	// While a batch has several transactions: the database before the first one, and those that are written.
	before  *leveldb.Snapshot
	earlier []*leveldb.Batch
	spares  []*leveldb.Batch
}

// need is an earlier value of a count, for undo.
type need struct {
	seq   uint64
	count uint32
	size  int64
}

type refusal struct {
	i   int
	err error
}

func (tx *Tx) reset() {
	tx.batch.Reset()
	tx.begun, tx.sync, tx.fail, tx.messages, tx.bytes = false, false, nil, 0, 0
	tx.set = tx.set[:0]
}

// undo restores the counts in memory.
func (tx *Tx) undo() {
	for i := len(tx.set) - 1; i >= 0; i-- {
		tx.s.needs.set(tx.set[i].seq, tx.set[i].count)
		tx.s.needs.setSize(tx.set[i].seq, int(tx.set[i].size))
	}
}

// Sync requires that the batch is on stable storage before Committed of its ops. A batch without it, such as one with
// acknowledgements of QoS 1 only, survives the end of the process and is synced with the next batch that requires it.
func (tx *Tx) Sync() { tx.sync = true }

// Room returns ErrFull if a message of that many bytes may not be stored. Call it before other methods of tx.
func (tx *Tx) Room(size int) error {
	s := tx.s
	if s.o.MaxBytes > 0 && s.stats.Bytes.Load()+tx.bytes+int64(size) > s.o.MaxBytes || !s.free.enough(s.o) {
		s.stats.Refused.Add(1)
		return ErrFull
	}
	return nil
}

// PutMessage stores m for targets, at least one, and returns its number.
func (tx *Tx) PutMessage(m *packet.Message, targets []Target) (seq uint64) {
	s := tx.s
	s.seq++
	tx.buf = appendRecord(tx.buf[:0], s.clock.now(), m, targets)
	tx.batch.Put(key8(kindMessage, s.seq), tx.buf)
	tx.count(s.seq, uint32(len(targets)))
	s.needs.setSize(s.seq, len(tx.buf)+9)
	tx.messages++
	tx.bytes += int64(len(tx.buf)) + 9
	tx.sync = true
	return s.seq
}

// Release says that one of the targets of message seq no longer needs it. After the last one the message is deleted.
func (tx *Tx) Release(seq uint64) {
	n := tx.s.needs.get(seq)
	if n == 0 {
		return // expired meanwhile
	}
	if n == 1 {
		tx.remove(seq)
		return
	}
	tx.count(seq, n-1)
}

func (tx *Tx) remove(seq uint64) {
	tx.batch.Delete(key8(kindMessage, seq))
	tx.messages--
	tx.bytes -= tx.s.needs.sizeOf(seq)
	tx.count(seq, 0)
}

func (tx *Tx) count(seq uint64, n uint32) {
	tx.set = append(tx.set, need{seq, tx.s.needs.get(seq), tx.s.needs.sizeOf(seq)})
	tx.s.needs.set(seq, n)
}

// PutRetained keeps m as the retained message of its topic.
func (tx *Tx) PutRetained(m *packet.Message) {
	tx.buf = appendMessage(tx.buf[:0], m)
	tx.batch.Put(keyText(kindRetained, m.Topic), tx.buf)
	tx.sync = true
}

// DeleteRetained removes the retained message of a topic.
func (tx *Tx) DeleteRetained(topic string) {
	tx.batch.Delete(keyText(kindRetained, topic))
	tx.sync = true
}

// PutSession stores client id and user of a session under its number.
func (tx *Tx) PutSession(number uint64, client, user string) {
	tx.buf = appendText(appendText(tx.buf[:0], client), user)
	tx.batch.Put(key8(kindSession, number), tx.buf)
	tx.sync = true
}

// DeleteSession removes a session with its filters and received ids. Its messages must be released: see Release.
func (tx *Tx) DeleteSession(number uint64, filters []string, received []packet.ID) {
	tx.batch.Delete(key8(kindSession, number))
	tx.batch.Delete(key8(kindAcked, number))
	for _, f := range filters {
		tx.batch.Delete(keyFilter(number, f))
	}
	for _, id := range received {
		tx.batch.Delete(keyReceived(number, id))
	}
	tx.sync = true
}

// PutFilter stores a subscription of a session.
func (tx *Tx) PutFilter(session uint64, filter string, qos packet.QOS) {
	tx.batch.Put(keyFilter(session, filter), []byte{byte(qos)})
	tx.sync = true
}

// DeleteFilter removes a subscription of a session.
func (tx *Tx) DeleteFilter(session uint64, filter string) {
	tx.batch.Delete(keyFilter(session, filter))
	tx.sync = true
}

// PutAcked stores which messages of its queue a session has acknowledged, in an encoding of package session.
func (tx *Tx) PutAcked(session uint64, state []byte) {
	tx.batch.Put(key8(kindAcked, session), state)
}

// PutReceived records that a session has received the QoS 2 message id, so that a repetition does not count as new.
func (tx *Tx) PutReceived(session uint64, id packet.ID) {
	tx.batch.Put(keyReceived(session, id), nil)
	tx.sync = true
}

// DeleteReceived ends the exchange of the QoS 2 message id. It must be on disk before PUBCOMP, since the client then
// uses the id again.
func (tx *Tx) DeleteReceived(session uint64, id packet.ID) {
	tx.batch.Delete(keyReceived(session, id))
	tx.sync = true
}

// PutWill keeps the will of a connected client, so that a crash of the hub does not lose it.
func (tx *Tx) PutWill(client string, will *packet.Message) {
	tx.buf = appendMessage(tx.buf[:0], will)
	tx.batch.Put(keyText(kindWill, client), tx.buf)
	tx.sync = true
}

// DeleteWill removes the will of a client.
func (tx *Tx) DeleteWill(client string) { tx.batch.Delete(keyText(kindWill, client)) }

func (tx *Tx) putClock() {
	tx.batch.Put(keyClock, binary.AppendUvarint(nil, uint64(tx.s.clock.now())))
}
