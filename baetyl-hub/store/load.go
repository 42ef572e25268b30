package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/256dpi/gomqtt/packet"
	"github.com/syndtr/goleveldb/leveldb"
	ldberrors "github.com/syndtr/goleveldb/leveldb/errors"
	"github.com/syndtr/goleveldb/leveldb/util"
)

// Session is the stored part of a session.
type Session struct {
	Number   uint64
	Client   string
	User     string
	Filters  map[string]packet.QOS
	Acked    []byte // as given to PutAcked; nil if never
	Received []packet.ID
}

// Visitor receives the content of a store at start: sessions in any order, then retained messages, then wills, then
// messages. All functions must be set unless the store is empty.
type Visitor struct {
	Session  func(Session)
	Retained func(packet.Message)
	Will     func(client string, will packet.Message)
	// Message is called for each message in the order of their numbers. needed is the number of its targets that still
	// need it: Release must be called so many times. A message with 0 is removed.
	Message func(seq uint64, rec *Record) (needed int)
}

// Load gives the content to v. Call it once, before Run. It removes records that can't be decoded and logs their
// number.
func (s *Store) Load(v Visitor) error {
	damaged := 0
	drop := func(key []byte) {
		damaged++
		s.tx.batch.Delete(key)
	}
	s.tx.reset()
	sessions := map[uint64]*Session{}
	if err := s.scan(kindSession, func(key, value []byte) {
		r := &reader{b: value}
		x := &Session{Client: string(r.bytes()), User: string(r.bytes()), Filters: map[string]packet.QOS{}}
		if r.err != nil || len(key) != 9 {
			drop(key)
			return
		}
		x.Number = binary.BigEndian.Uint64(key[1:])
		sessions[x.Number] = x
	}); err != nil {
		return err
	}
	// Parts of an unknown session are left over from a damaged store.
	part := func(kind byte, take func(x *Session, rest, value []byte) bool) error {
		return s.scan(kind, func(key, value []byte) {
			if len(key) >= 9 {
				if x := sessions[binary.BigEndian.Uint64(key[1:9])]; x != nil && take(x, key[9:], value) {
					return
				}
			}
			drop(key)
		})
	}
	if err := part(kindFilter, func(x *Session, rest, value []byte) bool {
		if len(value) != 1 || value[0] > 2 {
			return false
		}
		x.Filters[string(rest)] = packet.QOS(value[0])
		return true
	}); err != nil {
		return err
	}
	if err := part(kindAcked, func(x *Session, _, value []byte) bool {
		x.Acked = append([]byte{}, value...)
		return true
	}); err != nil {
		return err
	}
	if err := part(kindReceived, func(x *Session, rest, _ []byte) bool {
		if len(rest) != 2 {
			return false
		}
		x.Received = append(x.Received, packet.ID(binary.BigEndian.Uint16(rest)))
		return true
	}); err != nil {
		return err
	}
	for _, x := range sessions {
		v.Session(*x)
	}
	if err := s.loadTexts(v, drop); err != nil {
		return err
	}
	if err := s.loadMessages(v, drop); err != nil {
		return err
	}
	if damaged > 0 {
		s.o.Log.WithField("records", damaged).Warnf("store %s had damaged records, they were removed", s.dir)
	}
	s.write(&s.tx, true)
	return s.tx.fail
}

func (s *Store) loadTexts(v Visitor, drop func([]byte)) error {
	if err := s.scan(kindRetained, func(key, value []byte) {
		r := &reader{b: value}
		if m := r.message(); r.err == nil && m.Topic != "" {
			v.Retained(m)
			return
		}
		drop(key)
	}); err != nil {
		return err
	}
	return s.scan(kindWill, func(key, value []byte) {
		r := &reader{b: value}
		if m := r.message(); r.err == nil && m.Topic != "" {
			v.Will(string(key[1:]), m)
			return
		}
		drop(key)
	})
}

func (s *Store) loadMessages(v Visitor, drop func([]byte)) error {
	return s.scan(kindMessage, func(key, value []byte) {
		rec, err := decodeRecord(value, s.clock.now())
		if err != nil || len(key) != 9 {
			drop(key)
			return
		}
		seq, size := binary.BigEndian.Uint64(key[1:]), len(key)+len(value)
		s.seq = seq
		n := v.Message(seq, &rec)
		if n == 0 {
			s.tx.batch.Delete(key)
			return
		}
		s.needs.set(seq, uint32(n))
		s.needs.setSize(seq, size)
		s.stats.Messages.Add(1)
		s.stats.Bytes.Add(int64(size))
	})
}

func (s *Store) scan(kind byte, fn func(key, value []byte)) error {
	it := s.db.Load().NewIterator(util.BytesPrefix([]byte{kind}), nil)
	defer it.Release()
	for it.Next() {
		fn(it.Key(), it.Value())
	}
	if err := it.Error(); err != nil {
		return fmt.Errorf("read store: %w", err)
	}
	return nil
}

// Messages returns the messages of the given numbers, which must rise; nil for one that is gone or damaged. After an
// error the caller should try again later. It may be called from any goroutine.
func (s *Store) Messages(seqs []uint64) ([]*packet.Message, error) {
	out := make([]*packet.Message, len(seqs))
	if len(seqs) == 0 {
		return out, nil
	}
	it := s.db.Load().NewIterator(
		&util.Range{Start: key8(kindMessage, seqs[0]), Limit: key8(kindMessage, seqs[len(seqs)-1]+1)}, nil)
	defer it.Release()
	ok := it.First()
	for i, seq := range seqs {
		want := key8(kindMessage, seq)
		for n := 0; ok && bytes.Compare(it.Key(), want) < 0; n++ {
			if n < strides {
				ok = it.Next()
			} else {
				ok = it.Seek(want)
			}
		}
		if ok && bytes.Equal(it.Key(), want) {
			out[i] = messageOf(it.Value())
		}
	}
	if ldberrors.IsCorrupted(it.Error()) {
		return s.undamaged(seqs)
	}
	if err := it.Error(); err != nil {
		return nil, fmt.Errorf("read store: %w", err)
	}
	return out, nil
}

// strides is how many messages an iterator passes one by one before it seeks.
const strides = 16

// undamaged does the same as Messages, one by one: an iterator ends at a damaged block.
func (s *Store) undamaged(seqs []uint64) ([]*packet.Message, error) {
	out := make([]*packet.Message, len(seqs))
	for i, seq := range seqs {
		v, err := s.db.Load().Get(key8(kindMessage, seq), nil)
		switch {
		case errors.Is(err, leveldb.ErrNotFound), ldberrors.IsCorrupted(err):
		case err != nil:
			return nil, fmt.Errorf("read store: %w", err)
		default:
			out[i] = messageOf(v)
		}
	}
	return out, nil
}

// messageOf decodes the message of a record, nil if it is damaged.
func messageOf(record []byte) *packet.Message {
	r := &reader{b: record}
	r.number() // when it was stored
	if m := r.message(); r.err == nil {
		return &m
	}
	return nil
}
