package logfile

import "bytes"

const (
	ringStart = 4 << 10  // bytes that a ring begins with
	ringKeep  = 16 << 10 // an empty ring that is larger gives its memory back
)

// ring holds whole lines, each with its newline, in the order in which they came. It grows up to its limit, and then
// drops the oldest. It is not safe for several goroutines.
type ring struct {
	max   int // bytes
	buf   []byte
	head  int // of the first byte that is held
	size  int // bytes held
	lines int // lines held
}

// room makes room for n bytes. It calls dropped with each line that has to go for it; what the line is made of is valid
// during the call alone. It reports false when n is more than the limit.
func (r *ring) room(n int, dropped func(line []byte)) bool {
	if n > r.max {
		return false
	}
	for r.size+n > r.max {
		dropped(r.first())
		r.skip()
	}
	if r.size+n > len(r.buf) {
		buf := make([]byte, min(r.max, max(ringStart, 2*len(r.buf), r.size+n)))
		a, b := r.held()
		copy(buf[copy(buf, a):], b)
		r.buf, r.head = buf, 0
	}
	return true
}

// put adds a part of a line, for which there is room; the last part ends with the newline, and is followed by a call of
// end.
func put[T string | []byte](r *ring, part T) {
	at := (r.head + r.size) % len(r.buf)
	n := copy(r.buf[at:], part)
	copy(r.buf, part[n:])
	r.size += len(part)
}

// end says that a line is whole.
func (r *ring) end() { r.lines++ }

// held returns what is held, in two parts, since it may go around the end of the memory.
func (r *ring) held() (a, b []byte) {
	if end := r.head + r.size; end > len(r.buf) {
		return r.buf[r.head:], r.buf[:end-len(r.buf)]
	}
	return r.buf[r.head : r.head+r.size], nil
}

// firstLen returns the bytes of the oldest line.
func (r *ring) firstLen() int {
	a, b := r.held()
	if n := bytes.IndexByte(a, '\n'); n >= 0 {
		return n + 1
	}
	return len(a) + bytes.IndexByte(b, '\n') + 1
}

// first returns the beginning of the oldest line, or all of it: as much as lies in one part, but for a line that begins
// less than 256 bytes before the end of the memory, which is copied.
func (r *ring) first() []byte {
	n := r.firstLen()
	a, b := r.held()
	switch {
	case n <= len(a):
		return a[:n]
	case len(a) >= 256:
		return a
	}
	return append(append(make([]byte, 0, n), a...), b[:n-len(a)]...)
}

// skip forgets the oldest line.
func (r *ring) skip() { r.forget(r.firstLen(), 1) }

func (r *ring) forget(n, lines int) {
	r.head = (r.head + n) % len(r.buf)
	r.size -= n
	r.lines -= lines
	if r.size == 0 {
		r.head = 0
		if len(r.buf) > ringKeep {
			r.buf = nil
		}
	}
}

// take moves the oldest lines to the end of dst, as long as it has no more than limit bytes then, but one in any case.
// It returns how many lines these were.
func (r *ring) take(dst []byte, limit int) ([]byte, int) {
	lines := 0
	for r.lines > 0 {
		n := r.firstLen()
		if lines > 0 && len(dst)+n > limit {
			break
		}
		a, b := r.held()
		k := min(n, len(a))
		dst = append(append(dst, a[:k]...), b[:n-k]...)
		r.forget(n, 1)
		lines++
	}
	return dst, lines
}
