package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/baetyl/baetyl/utils/file"
)

// recover makes the index from the state and from the log behind it. The next Write begins a segment of its own: behind
// the end of the last one there may be frames that do not count, and a new frame before them must not make them valid.
func (s *Store) recover() error {
	list, err := s.list()
	if err != nil {
		return err
	}
	in, err := s.readState()
	if err != nil {
		return err
	}
	x := &s.index
	s.clock.load(in.running)
	x.highest = max(x.highest, in.highest)
	x.applied, x.safe = in.applied, in.applied
	s.last = max(s.last, in.applied.number)

	var old, behind []*found // segments to read for their spans alone, and those to apply
	for _, f := range list {
		switch g := in.segments[f.number]; {
		case f.number == in.applied.number && f.mark == in.applied.mark && g != nil && g.mark == f.mark:
			f.g, f.from = g, in.applied.at
			behind = append(behind, f)
		case f.number >= in.applied.number:
			f.g, f.from = &segment{number: f.number, through: f.through, mark: f.mark, end: headerSize}, headerSize
			behind = append(behind, f)
		case g != nil && g.mark == f.mark:
			f.g = g
		default: // it was compacted after the checkpoint, or its removal is not on the disk
			f.g = &segment{number: f.number, through: f.through, mark: f.mark}
			old = append(old, f)
		}
		x.segments = append(x.segments, f.g)
		s.last = max(s.last, f.through)
	}
	s.restore(in, list)
	for _, f := range old {
		if err := s.rescan(f); err != nil {
			return err
		}
	}
	for i, f := range behind {
		if err := s.replay(f, i == len(behind)-1); err != nil {
			return err
		}
	}
	s.recovered(in)
	return nil
}

// keep makes durable what replay has found in the newest segment: from now on it counts. If the hub was killed before
// it synced it, a power cut can still take what is there to read. And if a sync has failed, the kernel does not write
// it any more though the next sync succeeds: so it is written again.
func (s *Store) keep(newest *found, end int64) error {
	f, err := s.o.Disk.OpenFile(newest.path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	b := make([]byte, min(chunk, max(end-newest.from, 0)))
	for at := newest.from; at < end && err == nil; at += int64(len(b)) {
		b = b[:min(int64(len(b)), end-at)]
		if _, err = f.ReadAt(b, at); err == nil || errors.Is(err, io.EOF) {
			_, err = f.WriteAt(b, at)
		}
	}
	if err == nil {
		err = file.Datasync(f)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", newest.path, err)
	}
	return s.o.Disk.SyncDir(s.dir)
}

// recovered completes what recover has read.
func (s *Store) recovered(in *stateIndex) {
	x := &s.index
	running := in.running
	x.bytes = 0
	for _, g := range x.segments {
		g.sealed = true
		running = max(running, g.newest)
		if g.needs == 0 {
			g.messages, g.bytes = 0, 0
		}
		x.bytes += g.bytes
	}
	if n := len(x.segments); n > 0 {
		s.before = ending{x.segments[n-1].mark, x.segments[n-1].end}
	}
	s.clock.load(running)
	s.room.stored.Store(x.bytes)
	if x.damaged > 0 {
		s.log.WithField("records", x.damaged).Warnf("store %s had damaged records, they are left out", s.o.Dir)
	}
}

// restore brings the spans of the state into the index, if their segment is there as it was.
func (s *Store) restore(in *stateIndex, list []*found) {
	x := &s.index
	there := map[uint64]*segment{}
	for _, f := range list {
		if f.g.end > 0 {
			there[f.number] = f.g
		}
	}
	for _, k := range in.spans {
		p, owner := k.span, x.sessions[k.session]
		p.in = there[k.segment]
		if owner == nil || p.in == nil || p.in != in.segments[k.segment] || p.last < owner.head {
			x.changes.remove(keySpan(k.session, k.segment))
			continue
		}
		owner.spans = append(owner.spans, p)
		owner.tail = max(owner.tail, p.last+1)
		p.in.needs++
	}
	for n, g := range in.segments {
		if there[n] != g {
			x.changes.remove(key8(kindSegment, n))
		}
	}
}

// rescan reads a segment of which the state does not know which messages are needed. What else is in it is in the
// state.
func (s *Store) rescan(f *found) error {
	t := newTally(f.g, s.index.heads())
	f.g.end = headerSize
	err := s.frames(f, headerSize, true, func(x frame) {
		t.frame(x, x.at, nil)
		f.g.end = x.next
	})
	if err != nil {
		return err
	}
	f.g.dirty = true
	for n, p := range t.spans {
		s.index.insert(s.index.sessions[n], *p)
	}
	return nil
}

// replay applies the frames of a segment that are not in the state.
func (s *Store) replay(f *found, newest bool) error {
	end := f.from
	err := s.frames(f, f.from, !newest, func(x frame) {
		s.index.apply(f.g, x)
		end = x.next
	})
	if err != nil || !newest {
		return err
	}
	if err := s.keep(f, end); err != nil || f.limit != 0 {
		return err
	}
	return s.torn(f, end)
}

// frames calls fn for the frames of a segment. With past it passes over damaged ones.
func (s *Store) frames(f *found, from int64, past bool, fn func(frame)) error {
	r, err := s.o.Disk.OpenFile(f.path, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer r.Close()
	limit := f.limit
	if limit == 0 {
		limit = f.size
	}
	buf := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(buf)
	for at := from; ; {
		at, err = scan(r, f.mark, at, limit, buf, func(x frame) bool { fn(x); return true })
		if err != nil {
			return fmt.Errorf("%s: %w", f.path, err)
		}
		if !past || at >= limit {
			return nil
		}
		next, ok := passed(r, f.mark, at, limit)
		if f.limit != 0 || ok {
			s.index.damaged++
		}
		if !ok {
			return nil
		}
		at = next
	}
}

// passed returns where the next mark behind a damaged frame is.
func passed(r io.ReaderAt, mark uint64, at, limit int64) (next int64, ok bool) {
	want := binary.BigEndian.AppendUint64(nil, mark)
	var b []byte
	for at++; at+frameHead <= limit; {
		if b == nil {
			b = make([]byte, min(chunk, limit-at))
		}
		n, err := r.ReadAt(b[:min(int64(len(b)), limit-at)], at)
		if i := bytes.Index(b[:n], want); i >= 0 {
			return at + int64(i), true
		}
		if err != nil {
			return 0, false
		}
		at += int64(n - len(want) + 1)
	}
	return 0, false
}

// torn warns if something was written behind the end of the log.
func (s *Store) torn(f *found, end int64) error {
	r, err := s.o.Disk.OpenFile(f.path, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer r.Close()
	b := make([]byte, min(chunk, max(f.size-end, 0)))
	n, err := r.ReadAt(b, end)
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	if last := bytes.LastIndex(b[:n], binary.BigEndian.AppendUint64(nil, f.mark)); last >= 0 {
		s.log.Warnf("store %s: the end of %s is damaged, probably by a power loss: dropping %d bytes or more",
			s.o.Dir, segmentName(f.number), min(n, last+frameHead))
	}
	return nil
}

// found is a segment's file at start.
type found struct {
	header
	path  string
	size  int64
	limit int64 // where its frames end, as the segment behind it says; 0: unknown
	g     *segment
	from  int64 // the first frame that is not in the state
}

// open reads the header of f.
func (f *found) open(d file.Disk) error {
	r, err := d.OpenFile(f.path, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		return err
	}
	f.size = info.Size()
	if f.header, err = readHeader(r); err != nil {
		return fmt.Errorf("%s: %w", f.path, err)
	}
	return nil
}
