package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/baetyl/baetyl/baetyl-hub/record"
	"github.com/baetyl/baetyl/baetyl-hub/store/legacy"
)

// A hub before 1.0.0-rc.1 kept everything in the folder hub.db. Its content is brought into a new store once:
//
//	hub.db is a folder           the new store is made in migrating/, from the beginning
//	hub.db.migrated is a folder  the new store is complete: it gets its place, and the old one is removed
//	hub.db is a file             done. An older hub can't open it, and so does not begin with an empty store
//
// Each rename is on the disk before the next step, so that it does not matter when the hub or the machine stops.
const (
	oldName       = "hub.db"
	migratedName  = "hub.db.migrated"
	migratingName = "migrating"
)

const notice = `This folder holds the store of a newer baetyl-hub, in log/ and state/.
An older hub keeps its store in a folder hub.db and can't read this one. To go back
to an older hub, give it another folder in storage.dir: it begins with an empty store.
`

// migrate brings the store of an older hub into a new one, if there is one.
func migrate(o Options) error {
	d, path := o.Disk, func(name string) string { return filepath.Join(o.Dir, name) }
	if err := makeDir(d, o.Dir); err != nil {
		return err
	}
	is, err := d.Lstat(path(oldName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil && is.IsDir() {
		if _, err := d.Lstat(path("log")); err == nil {
			return fmt.Errorf("%s has two stores: log and state of this version, hub.db of an older one. "+
				"Move those that are not wanted to another folder", o.Dir)
		}
		if err := makeNew(o); err != nil {
			return fmt.Errorf("bring hub.db into the new store: %w", err)
		}
		if err := d.Rename(path(oldName), path(migratedName)); err != nil {
			return err
		}
		if err := d.SyncDir(o.Dir); err != nil {
			return err
		}
		is = nil
	}
	if err := putInPlace(o); err != nil {
		return err
	}
	if is == nil {
		if err := d.WriteAtomic(path(oldName), []byte(notice), 0o600); err != nil {
			return err
		}
	}
	if _, err := d.Lstat(path(migratedName)); err == nil {
		return d.RemoveAll(path(migratedName))
	}
	return nil
}

// putInPlace gives a new store that is complete its place.
func putInPlace(o Options) error {
	d, from := o.Disk, filepath.Join(o.Dir, migratingName)
	if _, err := d.Lstat(filepath.Join(o.Dir, migratedName)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, name := range []string{"log", "state"} {
		if _, err := d.Lstat(filepath.Join(from, name)); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := d.Rename(filepath.Join(from, name), filepath.Join(o.Dir, name)); err != nil {
			return err
		}
	}
	if err := d.SyncDir(o.Dir); err != nil {
		return err
	}
	return d.RemoveAll(from)
}

// makeNew makes a new store in migrating/ of the old one.
func makeNew(o Options) error {
	dir := filepath.Join(o.Dir, migratingName)
	if err := o.Disk.RemoveAll(dir); err != nil {
		return err
	}
	into := o
	into.Dir, into.Sync, into.Storage = dir, SyncNone, nil // Close syncs
	s, err := open(into)
	if err != nil {
		return err
	}
	m := &migration{s: s}
	running, err := legacy.Read(filepath.Join(o.Dir, oldName), o.Log, legacy.Visitor{
		Session: m.session, Retained: m.retained, Will: m.will, Message: m.message,
	})
	s.clock.load(running)
	err = errors.Join(err, m.flush(), s.Close())
	if err == nil {
		o.Log.Infof("store %s: brought hub.db of an older hub into the new store: %d sessions, %d messages",
			o.Dir, m.sessions, m.messages)
	}
	return err
}

// migration writes what it is given to a new store.
type migration struct {
	s                  *Store
	b                  record.Batch
	stored             time.Duration // running time when the messages in b were stored
	sessions, messages int
}

func (m *migration) session(x *legacy.Session) error {
	m.sessions++
	m.b.PutSession(x.Number, x.Client, x.User)
	for f, qos := range x.Filters {
		m.b.PutFilter(x.Number, f, qos)
	}
	if x.Acked != nil {
		m.b.Acked(x.Number, x.Acked, true)
	}
	for _, id := range x.Received {
		m.b.Publish(&record.Publication{Message: &record.Message{}, Receiver: x.Number, ID: id})
	}
	return m.full()
}

func (m *migration) retained(x *record.Message) error {
	m.b.Publish(&record.Publication{Message: x, Retain: true})
	return m.full()
}

func (m *migration) will(client string, x *record.Message) error {
	m.b.PutWill(client, x)
	return m.full()
}

func (m *migration) message(x *record.Message, targets []record.Target, stored time.Duration) error {
	m.messages++
	if stored/time.Second != m.stored/time.Second {
		if err := m.flush(); err != nil {
			return err
		}
		m.stored = max(stored, m.stored)
	}
	m.b.Publish(&record.Publication{Message: x, Targets: targets})
	return m.full()
}

// full writes the batch when it is large.
func (m *migration) full() error {
	if len(m.b.Data) < chunk {
		return nil
	}
	return m.flush()
}

func (m *migration) flush() error {
	if m.b.Len() == 0 {
		return nil
	}
	err := m.s.write(&m.b, m.stored)
	m.b.Reset()
	return err
}
