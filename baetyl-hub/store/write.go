package store

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/baetyl/baetyl/baetyl-hub/record"
	"github.com/baetyl/baetyl/utils/file"
)

// active is the segment that is being written.
type active struct {
	f     file.File
	g     *segment
	at    int64 // where the next frame goes
	size  int64 // of the file
	dirty bool  // has frames that are not synced
}

// spareBuffer is the size in bytes of the largest buffer that is kept for the next frame.
const spareBuffer = 1 << 20

// Write stores a batch. When it returns nil, all of it is stored: with SyncAlways on stable storage, if the batch has
// Sync. After an error nothing of it counts, also not after a restart that follows a later Write without error. The
// next Write tries again. One goroutine at a time may call it; b is not used afterwards.
func (s *Store) Write(b *record.Batch) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.closed {
		return fmt.Errorf("write store: %w", os.ErrClosed)
	}
	if b.Len() == 0 {
		return nil
	}
	if err := s.write(b, s.clock.now()); err != nil {
		s.failedWrite(err)
		return fmt.Errorf("write store: %w", err)
	}
	s.batches.Add(1)
	if s.broken.Swap(false) {
		s.log.Infof("store %s can be written again", s.o.Dir)
	}
	return nil
}

func (s *Store) failedWrite(err error) {
	s.errors.Add(1)
	if !s.broken.Swap(true) {
		s.log.WithError(err).Errorf("write to store %s failed, refusing messages until a write succeeds", s.o.Dir)
	}
}

// write writes a batch as of a running time of the hub.
func (s *Store) write(b *record.Batch, now time.Duration) error {
	size := int64(frameHead + len(b.Data) + 10)
	if size > math.MaxUint32 {
		return fmt.Errorf("a batch of %d bytes is too large", size)
	}
	if a := s.active; a != nil && a.at > headerSize && a.at+size > s.limit() {
		if err := s.seal(); err != nil {
			return err
		}
	}
	if s.active == nil {
		if err := s.begin(); err != nil {
			return err
		}
	}
	a := s.active
	s.buf = appendFrame(s.buf[:0], a.g.mark, now, b.Data)
	before := a.size
	err := a.write(s.buf, s.o.SegmentSize)
	s.room.grown.Add(a.size - before)
	if err != nil {
		s.abandon()
		return err
	}
	if s.due(b) {
		if err := s.sync(); err != nil {
			return err
		}
	}
	f := frame{a.at, a.at + int64(len(s.buf)), now / time.Second * time.Second, b.Data}
	a.at = f.next
	if cap(s.buf) > spareBuffer {
		s.buf = nil
	}
	s.mu.Lock()
	freed := s.index.apply(a.g, f)
	freed = freed || s.index.changes.size > checkpointSize
	s.room.stored.Store(s.index.bytes)
	s.mu.Unlock()
	if freed {
		s.wakeUp()
	}
	return nil
}

// write writes a frame at a.at. The caller moves a.at when the frame counts.
func (a *active) write(b []byte, segmentSize int64) error {
	if _, err := a.f.WriteAt(b, a.at); err != nil {
		return err
	}
	a.dirty = true
	if end := a.at + int64(len(b)); end > a.size {
		a.size = end
		step := min(growth, segmentSize)
		// An error here, on a full disk, does not matter: the frame itself is written.
		if n, err := a.f.WriteAt(zeros[:step-end%step], end); err == nil {
			a.size += int64(n)
		}
	}
	return nil
}

// due tells whether a batch that was written has to be synced.
func (s *Store) due(b *record.Batch) bool {
	switch s.o.Sync {
	case SyncAlways, "":
		return b.Sync
	case SyncInterval:
		return time.Since(s.synced) >= s.o.Interval
	}
	return false
}

// sync syncs the segment that is being written. If it fails, nothing more is written to it: nobody knows what of it is
// on the disk, and the kernel reports the error once only.
func (s *Store) sync() error {
	began := time.Now()
	err := file.Datasync(s.active.f)
	now := time.Now()
	s.times.add(now.Sub(began))
	if err != nil {
		s.abandon()
		return err
	}
	s.active.dirty = false
	s.synced = now
	s.syncs.Add(1)
	return nil
}

// seal ends the segment that is being written. What comes next is in another segment and must not be on the disk
// without it.
func (s *Store) seal() error {
	if s.active.dirty {
		if err := s.sync(); err != nil {
			return err
		}
	}
	s.abandon()
	return nil
}

// abandon ends the segment that is being written behind the last frame that counts.
func (s *Store) abandon() {
	a := s.active
	s.active, s.before = nil, ending{a.g.mark, a.at}
	_ = a.f.Close() // all that counts is synced, or need not be
	s.mu.Lock()
	a.g.sealed = true
	s.mu.Unlock()
	s.wakeUp()
}

// begin makes the next segment. When its header is on the disk, frames behind the end of the segment before do not
// count any more.
func (s *Store) begin() error {
	h := header{number: s.last + 1, through: s.last + 1, mark: s.o.Mark(), before: s.before}
	from := s.takeSpare()
	spare := from != ""
	if !spare {
		from = filepath.Join(s.dir, newName)
	}
	f, err := s.o.Disk.OpenFile(from, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		s.putBack(from, spare)
		return err
	}
	info, err := f.Stat()
	if err == nil {
		err = s.name(f, &h, from)
	}
	if err != nil {
		_ = f.Close()
		s.putBack(from, spare)
		return err
	}
	g := &segment{number: h.number, through: h.through, mark: h.mark, end: headerSize, dirty: true}
	s.active = &active{f: f, g: g, at: headerSize, size: info.Size()}
	s.last = h.number
	s.mu.Lock()
	s.index.segments = append(s.index.segments, g)
	s.mu.Unlock()
	return nil
}

// name makes the file from the segment with header h.
func (s *Store) name(f file.File, h *header, from string) error {
	if _, err := f.WriteAt(h.append(nil), 0); err != nil {
		return err
	}
	if err := file.Datasync(f); err != nil {
		return err
	}
	if err := s.o.Disk.Rename(from, s.path(h.number)); err != nil {
		return err
	}
	return s.o.Disk.SyncDir(s.dir)
}

// putBack keeps a spare that could not be used, if it still has its name.
func (s *Store) putBack(path string, spare bool) {
	if _, err := s.o.Disk.Lstat(path); spare && err == nil {
		s.spareMu.Lock()
		s.spares = append(s.spares, path)
		s.spareMu.Unlock()
	}
}
