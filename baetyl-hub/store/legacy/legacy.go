// Package legacy reads hub.db, the store of hubs before 1.0.0-rc.1: one goleveldb database with everything in it. It
// writes nothing, unless it has to repair a damaged database.
package legacy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/syndtr/goleveldb/leveldb"
	ldberrors "github.com/syndtr/goleveldb/leveldb/errors"
	"github.com/syndtr/goleveldb/leveldb/opt"
	"github.com/syndtr/goleveldb/leveldb/util"

	"github.com/baetyl/baetyl/baetyl-hub/record"
	"github.com/baetyl/baetyl/baetyl-hub/store/journal"
	"github.com/baetyl/baetyl/utils/log"
)

// Session is the stored part of a session.
type Session struct {
	Number   uint64
	Client   string
	User     string
	Filters  map[string]packet.QOS
	Acked    []byte // begins with the position of the oldest message that is not acknowledged; nil: never
	Received []packet.ID
}

// Visitor receives the content of a database: sessions, then retained messages, wills, and messages in their order. All
// functions must be set. The first error ends the reading. A message was stored at a running time of the hub.
type Visitor struct {
	Session  func(*Session) error
	Retained func(*record.Message) error
	Will     func(client string, m *record.Message) error
	Message  func(m *record.Message, targets []record.Target, stored time.Duration) error
}

// kinds of keys
const (
	kindMessage  = 'm'
	kindRetained = 'r'
	kindSession  = 's'
	kindFilter   = 'f'
	kindAcked    = 'a'
	kindReceived = 'i'
	kindWill     = 'w'
)

var keyClock = []byte("cclock")

// Read gives the content of the database in dir to v, and returns the running time of the hub. It leaves out records
// that can't be decoded and logs their number.
func Read(dir string, l log.Logger, v Visitor) (running time.Duration, err error) {
	files, err := journal.Open(dir, 0, l)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", dir, err)
	}
	defer files.Close()
	db, err := leveldb.Open(files, &opt.Options{ReadOnly: true})
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil // the hub was stopped before it made anything
	}
	if ldberrors.IsCorrupted(err) {
		l.WithError(err).Warnf("store %s is damaged, repairing it", dir)
		db, err = leveldb.Recover(files, nil)
	}
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", dir, err)
	}
	defer db.Close()
	r := &reader{db: db, v: v, sessions: map[uint64]*Session{}}
	clock, err := db.Get(keyClock, nil)
	if err != nil && !errors.Is(err, leveldb.ErrNotFound) {
		return 0, fmt.Errorf("read %s: %w", dir, err)
	}
	n, _ := binary.Uvarint(clock)
	if err := r.all(); err != nil {
		return 0, fmt.Errorf("read %s: %w", dir, err)
	}
	if r.damaged > 0 {
		l.WithField("records", r.damaged).Warnf("store %s has damaged records, they are left out", dir)
	}
	return time.Duration(n), nil
}

type reader struct {
	db       *leveldb.DB
	v        Visitor
	sessions map[uint64]*Session
	damaged  int
}

func (r *reader) all() error {
	steps := []struct {
		kind byte
		take func(key, value []byte) error
	}{
		{kindSession, r.session}, {kindFilter, r.part(filter)}, {kindAcked, r.part(acked)}, {kindReceived, r.part(received)},
	}
	for _, x := range steps {
		if err := r.scan(x.kind, x.take); err != nil {
			return err
		}
	}
	for _, s := range r.sessions {
		if err := r.v.Session(s); err != nil {
			return err
		}
	}
	if err := r.scan(kindRetained, func(_, value []byte) error {
		d := decode(value)
		m := d.message()
		return r.visit(d.Err(), func() error { return r.v.Retained(m) })
	}); err != nil {
		return err
	}
	if err := r.scan(kindWill, func(key, value []byte) error {
		d := decode(value)
		m := d.message()
		return r.visit(d.Err(), func() error { return r.v.Will(string(key), m) })
	}); err != nil {
		return err
	}
	return r.scan(kindMessage, func(_, value []byte) error {
		d := decode(value)
		stored := time.Duration(d.Number()) * time.Second
		m := d.message()
		targets := d.targets()
		return r.visit(d.Err(), func() error { return r.v.Message(m, targets, stored) })
	})
}

// visit calls f unless the record is damaged.
func (r *reader) visit(damage error, f func() error) error {
	if damage != nil {
		r.damaged++
		return nil
	}
	return f()
}

// scan calls take for each record of a kind, with its key without the kind.
func (r *reader) scan(kind byte, take func(key, value []byte) error) error {
	it := r.db.NewIterator(util.BytesPrefix([]byte{kind}), nil)
	defer it.Release()
	for it.Next() {
		if err := take(it.Key()[1:], it.Value()); err != nil {
			return err
		}
	}
	return it.Error()
}

func (r *reader) session(key, value []byte) error {
	d := decode(value)
	s := &Session{Client: string(d.Text()), User: string(d.Text()), Filters: map[string]packet.QOS{}}
	if d.Failed || len(key) != 8 {
		r.damaged++
		return nil
	}
	s.Number = binary.BigEndian.Uint64(key)
	r.sessions[s.Number] = s
	return nil
}

// part makes a function that takes what belongs to a session; it gets the rest of the key.
func (r *reader) part(take func(s *Session, rest, value []byte) (ok bool)) func(key, value []byte) error {
	return func(key, value []byte) error {
		if len(key) >= 8 {
			if s := r.sessions[binary.BigEndian.Uint64(key)]; s != nil && take(s, key[8:], value) {
				return nil
			}
		}
		r.damaged++
		return nil
	}
}

func filter(s *Session, rest, value []byte) bool {
	if len(value) != 1 || value[0] > 2 {
		return false
	}
	s.Filters[string(rest)] = packet.QOS(value[0])
	return true
}

func acked(s *Session, _, value []byte) bool {
	if _, n := binary.Uvarint(value); n <= 0 {
		return false
	}
	s.Acked = append([]byte{}, value...)
	return true
}

func received(s *Session, rest, _ []byte) bool {
	if len(rest) != 2 {
		return false
	}
	s.Received = append(s.Received, packet.ID(binary.BigEndian.Uint16(rest)))
	return true
}
