package store

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/baetyl/baetyl/utils/file"
)

// A message for which nobody comes must not keep a whole segment. So segments in which little is needed are replaced by
// one file with the records that are. It has the number of the first of them, says in its header up to which one it
// goes, and has a mark of its own: so at start it is seen that it is not what the state knows.

// removeUnneeded removes the segments that no session needs and that are behind the checkpoint.
func (s *Store) removeUnneeded() {
	s.mu.Lock()
	x := &s.index
	var unneeded []*segment
	x.segments = slices.DeleteFunc(x.segments, func(g *segment) bool {
		if !g.sealed || g.needs > 0 || g.readers > 0 || !x.safe.covers(g) {
			return false
		}
		unneeded = append(unneeded, g)
		x.changes.remove(key8(kindSegment, g.number))
		return true
	})
	s.mu.Unlock()
	for _, g := range unneeded {
		path := s.path(g.number)
		info, err := s.o.Disk.Lstat(path)
		if err == nil && s.giveSpare(path, info.Size()) {
			continue
		}
		if err == nil {
			err = s.o.Disk.Remove(path)
		}
		if err != nil {
			s.log.WithError(err).Warnf("a segment of store %s can't be removed, trying again at the next start", s.o.Dir)
		}
	}
}

// compactAll compacts what is worth it, at most once in againInterval. It tells whether to come again.
func (s *Store) compactAll(ctx context.Context) (again bool) {
	if time.Since(s.considered) < againInterval {
		return true
	}
	s.considered = time.Now()
	for ctx.Err() == nil {
		s.mu.Lock()
		group := s.index.compactable(s.o.SegmentSize)
		heads := map[uint64]uint64{}
		if group != nil {
			heads = s.index.heads()
		}
		s.mu.Unlock()
		if group == nil {
			s.uncompact = false
			return false
		}
		if err := s.compact(group, heads); err != nil {
			_ = s.o.Disk.Remove(filepath.Join(s.dir, compactName))
			if !s.uncompact {
				s.uncompact = true
				s.log.WithError(err).Warnf("compaction of store %s failed, trying again", s.o.Dir)
			}
			return true
		}
		s.removeUnneeded()
	}
	return false
}

// together is the number of small segments that are worth being put into one.
const together = 4

// compactable returns neighbours that are to be replaced by one segment; nil: none.
func (x *index) compactable(segmentSize int64) (group []*segment) {
	live := x.live(func(sum, n int64) int64 { return sum + n })
	var size int64 // of what the group needs, estimated
	var worth bool
	for _, g := range x.segments {
		need := g.bytes
		if n := live[g]; n < g.messages {
			need = g.bytes / g.messages * n
		}
		sparse := g.end > min(growth, segmentSize/4) && need < g.end/4
		fits := g.sealed && g.through < x.safe.number && (sparse || g.end < segmentSize/8)
		if fits && size+need <= segmentSize/2 {
			group, size, worth = append(group, g), size+need, worth || sparse
			continue
		}
		if worth || len(group) >= together {
			return group
		}
		group, size, worth = nil, 0, false
		if fits {
			group, size, worth = append(group, g), need, sparse
		}
	}
	if worth || len(group) >= together {
		return group
	}
	return nil
}

// compact replaces a group of segments by one with what is needed of them.
func (s *Store) compact(group []*segment, heads map[uint64]uint64) error {
	first, last := group[0], group[len(group)-1]
	g := &segment{
		number: first.number, through: last.through, mark: s.o.Mark(), sealed: true, dirty: true,
	}
	t := newTally(g, heads)
	if err := s.copyNeeded(group, t); err != nil {
		return err
	}
	s.mu.Lock()
	for _, old := range group {
		old.moving = true
	}
	for slices.ContainsFunc(group, func(old *segment) bool { return old.readers > 0 }) {
		s.moved.Wait()
	}
	s.mu.Unlock()
	err := s.o.Disk.Rename(filepath.Join(s.dir, compactName), s.path(g.number))
	s.mu.Lock()
	for _, old := range group {
		old.moving = false
	}
	if err == nil {
		s.index.replace(group, t)
		s.room.stored.Store(s.index.bytes)
	}
	s.mu.Unlock()
	s.moved.Broadcast()
	if err != nil {
		return err
	}
	if err := s.o.Disk.SyncDir(s.dir); err != nil {
		return err // the other files are removed at the next start
	}
	for _, old := range group[1:] {
		if err := s.o.Disk.Remove(s.path(old.number)); err != nil {
			return err
		}
	}
	return nil
}

// copyNeeded writes what is needed of a group into a new file, which t counts.
func (s *Store) copyNeeded(group []*segment, t *tally) error {
	out, err := s.o.Disk.OpenFile(filepath.Join(s.dir, compactName), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	w := &compacted{f: out, t: t, at: headerSize}
	h := header{number: t.g.number, through: t.g.through, mark: t.g.mark}
	if _, err := out.WriteAt(h.append(nil), 0); err != nil {
		return err
	}
	for _, old := range group {
		if err := s.copySegment(old, w); err != nil {
			return err
		}
	}
	if err := w.flush(); err != nil {
		return err
	}
	t.g.end = w.at
	return file.Datasync(out)
}

func (s *Store) copySegment(old *segment, w *compacted) error {
	in, err := s.o.Disk.OpenFile(s.path(old.number), os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	buf := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(buf)
	for at := int64(headerSize); ; {
		var failed error
		at, err = scan(in, old.mark, at, old.end, buf, func(x frame) bool {
			failed = w.take(x)
			return failed == nil
		})
		if err != nil || failed != nil {
			return fmt.Errorf("compact %s: %w", segmentName(old.number), firstOf(err, failed))
		}
		next, ok := passed(in, old.mark, at, old.end)
		if !ok {
			return nil
		}
		at = next
	}
}

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// compacted writes frames with what is needed. Small ones that were stored in the same second become one.
type compacted struct {
	f   io.WriterAt
	t   *tally
	at  int64  // of the frame that is being made
	buf []byte // it
	of  time.Duration
}

func (w *compacted) take(x frame) error {
	if len(w.buf) > 0 && (w.of != x.stored || len(w.buf) >= growth) {
		if err := w.flush(); err != nil {
			return err
		}
	}
	w.of = x.stored
	w.t.frame(x, w.at, func(record []byte) {
		if len(w.buf) == 0 {
			w.buf = appendFrame(w.buf, w.t.g.mark, x.stored, nil)
		}
		w.buf = append(w.buf, record...)
	})
	return nil
}

func (w *compacted) flush() error {
	if len(w.buf) == 0 {
		return nil
	}
	finishFrame(w.buf)
	if _, err := w.f.WriteAt(w.buf, w.at); err != nil {
		return err
	}
	w.at += int64(len(w.buf))
	w.buf = w.buf[:0]
	return nil
}

// replace puts the segment of t in the place of a group.
func (x *index) replace(group []*segment, t *tally) {
	for _, old := range group {
		x.leave(old)
		x.changes.remove(key8(kindSegment, old.number))
	}
	i := slices.Index(x.segments, group[0])
	x.segments = slices.Replace(x.segments, i, i+len(group), t.g)
	for n, p := range t.spans {
		if s := x.sessions[n]; s != nil && p.last >= s.head {
			x.insert(s, *p)
		}
	}
	if t.g.needs == 0 {
		t.g.messages, t.g.bytes = 0, 0
	}
	x.bytes += t.g.bytes
}
