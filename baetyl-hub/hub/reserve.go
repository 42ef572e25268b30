package hub

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/baetyl/baetyl/baetyl-hub/store"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
)

// reserveSize is the bytes of a file beside the store whose room the hub uses to start when the disk is full: it opens
// the store, and what needs no disk passes.
const reserveSize = 4 << 20

// reserveStep is how much of the reserve one attempt to open the store takes: what is left is there for later starts.
const reserveStep = reserveSize / 4

// openStore opens the store, if need be with room of the reserve.
func openStore(o store.Options, l log.Logger) (*store.Store, error) {
	reserve := filepath.Join(o.Dir, "reserve")
	st, err := store.Open(o)
	full := err
	for diskIsFull(err) && shrink(reserve) {
		st, err = store.Open(o)
	}
	switch {
	case diskIsFull(err):
		return nil, fmt.Errorf("%w: free %dm on the disk of storage.dir, so that the hub can start", err, reserveSize>>20)
	case err != nil:
		return nil, err
	case full != nil:
		l.WithError(full).Warnf("the disk of storage.dir %s is full: starting with the room of %s; what must be stored is "+
			"refused until others leave some", o.Dir, reserve)
		_ = grow(reserve) // as much as fits: for the next start
	}
	keepReserve(reserve, o, l)
	return st, nil
}

// shrink gives a part of the reserve back to the disk; false: there is none.
func shrink(reserve string) bool {
	x, err := os.Stat(reserve)
	return err == nil && x.Size() > 0 && os.Truncate(reserve, max(0, x.Size()-reserveStep)) == nil
}

// grow fills the reserve up, with bytes: a hole would take no room.
func grow(reserve string) error {
	f, err := os.OpenFile(reserve, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	x, err := f.Stat()
	if err == nil && x.Size() < reserveSize {
		_, err = f.Write(make([]byte, reserveSize-x.Size()))
	}
	return errors.Join(err, f.Close())
}

// diskIsFull tells whether an error comes from a full disk. goleveldb gives some on as text.
func diskIsFull(err error) bool {
	return err != nil && strings.Contains(err.Error(), syscall.ENOSPC.Error())
}

// keepReserve makes the reserve, if there is more than enough room.
func keepReserve(path string, o store.Options, l log.Logger) {
	if x, err := os.Stat(path); err == nil && x.Size() == reserveSize {
		return
	}
	free, err := file.Free(o.Dir)
	if err != nil || free < o.MinFree+2*reserveSize {
		return
	}
	if err := grow(path); err != nil {
		l.WithError(err).Warnf("there is no reserve for a start on a full disk")
	}
}
