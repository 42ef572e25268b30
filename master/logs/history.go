package logs

import (
	"bytes"
	"io"
	"os"
	"strings"
	"time"

	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/logfile"
)

// history reads the wanted lines that a log has, the oldest first. One goroutine uses it.
type history struct {
	f       file
	want    wanted
	grows   bool // the end of current is followed: half a line there is no line yet
	files   snapshot
	n       int             // of files.old that is read; len(files.old): current
	skip    int64           // bytes of it before the first line
	known   map[string]bool // the rotated files when current was opened
	open    io.ReadCloser   // nil: not open yet
	in      *lines
	at      time.Time // of the last line
	ahead   masterapi.LogLine
	isAhead bool
}

// newHistory takes a snapshot of f. The caller closes it.
func newHistory(f file, w wanted) (*history, error) {
	s, err := f.open()
	if err != nil {
		return nil, err
	}
	begin, err := f.find(s, w)
	if err != nil {
		closeFile(s.current)
		return nil, err
	}
	return &history{f: f, want: w, files: s, known: stems(s.old), n: begin.old, skip: begin.at}, nil
}

// peek returns the next line without taking it; false: there is none.
func (h *history) peek() (masterapi.LogLine, bool) {
	for !h.isAhead {
		raw, err := h.raw()
		if err != nil {
			return masterapi.LogLine{}, false
		}
		h.ahead, h.isAhead = h.f.line(raw, h.want, &h.at)
	}
	return h.ahead, true
}

// take is peek, and the next one follows.
func (h *history) take() (masterapi.LogLine, bool) {
	l, ok := h.peek()
	h.isAhead = false
	return l, ok
}

// raw returns the next line of the files; io.EOF at the end of current, which may grow.
func (h *history) raw() ([]byte, error) {
	for {
		if h.in == nil && !h.next() {
			return nil, io.EOF
		}
		line, err := h.in.next()
		if err == nil {
			return line, nil
		}
		if h.n >= len(h.files.old) && h.grows {
			return nil, io.EOF
		}
		rest := h.in.rest() // of a file that has ended; or what can be read of a damaged one
		if h.n < len(h.files.old) {
			h.over()
		} else if len(rest) == 0 {
			return nil, io.EOF
		}
		if len(rest) > 0 {
			return rest, nil
		}
	}
}

// next opens the file with number n, or a later one.
func (h *history) next() bool {
	for ; h.n < len(h.files.old); h.n++ {
		r, err := logfile.OpenOld(h.files.old[h.n])
		if err == nil {
			_, err = io.CopyN(io.Discard, r, h.skip)
			h.skip = 0
		}
		if err == nil {
			h.open, h.in = r, &lines{r: r}
			return true
		}
		if r != nil {
			r.Close()
		}
	}
	if h.files.current == nil {
		return false
	}
	if _, err := h.files.current.Seek(h.skip, io.SeekStart); err != nil {
		return false
	}
	h.open, h.in = h.files.current, &lines{r: h.files.current}
	return true
}

// over ends with a rotated file.
func (h *history) over() {
	h.open.Close()
	h.open, h.in = nil, nil
	h.n++
}

// close closes what is open.
func (h *history) close() {
	if h.open != nil && h.n < len(h.files.old) {
		h.open.Close()
	}
	closeFile(h.files.current)
}

// renew puts what has come after a rotation in the place of a current file that has been read to its end: the files
// that were rotated since, and the new one. It reports true when there is something to read, and false when current is
// the log still.
func (h *history) renew() (renewed bool, err error) {
	if h.files.current != nil && h.f.is(h.files.current) {
		return h.shrunk()
	}
	if h.grown() { // after its end was read, and before it was rotated
		return true, nil
	}
	s, err := h.f.open()
	if err != nil {
		return false, err
	}
	fresh, known := h.unread(s.old), stems(s.old)
	if s.current == nil && len(fresh) == 0 { // it is away
		return false, nil
	}
	s.old, h.known = fresh, known
	rest := []byte(nil)
	if h.in != nil {
		rest = append(rest, h.in.rest()...)
	}
	closeFile(h.files.current)
	h.files, h.n, h.skip, h.open, h.in = s, 0, 0, nil, nil
	if len(rest) > 0 {
		h.ahead, h.isAhead = h.f.line(rest, h.want, &h.at)
	}
	return true, nil
}

// unread returns those of the rotated files that came after current.
func (h *history) unread(old []string) (fresh []string) {
	for _, path := range old {
		switch {
		case h.known[stem(path)]:
		case h.isCurrent(path):
			fresh = nil
		default:
			fresh = append(fresh, path)
		}
	}
	return fresh
}

// stem is the name of a rotated file, compressed or not.
func stem(old string) string { return strings.TrimSuffix(old, ".gz") }

func stems(old []string) map[string]bool {
	out := map[string]bool{}
	for _, path := range old {
		out[stem(path)] = true
	}
	return out
}

// isCurrent tells whether the rotated file old is the one that is read as current, or what it was compressed to.
func (h *history) isCurrent(old string) bool {
	if h.files.current == nil {
		return false
	}
	if info, err := os.Lstat(old); err == nil {
		now, err := h.files.current.Stat()
		if err == nil && os.SameFile(info, now) {
			return true
		}
	}
	r, err := logfile.OpenOld(old) // compressed, if only since old was listed
	if err != nil {
		return false
	}
	defer r.Close()
	return sameBegin(r, h.files.current)
}

// compared is how many bytes tell two logs apart: their lines have a time.
const compared = 64 << 10

// sameBegin tells whether a rotated file says what the open file at says from its begin.
func sameBegin(old io.Reader, at io.ReaderAt) bool {
	a, err := io.ReadAll(io.LimitReader(old, compared))
	if err != nil || len(a) == 0 {
		return false
	}
	b := make([]byte, len(a))
	_, err = at.ReadAt(b, 0)
	return err == nil && bytes.Equal(a, b)
}

// grown tells whether current has more than was read.
func (h *history) grown() bool {
	if h.in == nil || h.files.current == nil {
		return false
	}
	info, err := h.files.current.Stat()
	if err != nil {
		return false
	}
	at, err := h.files.current.Seek(0, io.SeekCurrent)
	return err == nil && at < info.Size()
}

// shrunk begins anew with a file that somebody has cut.
func (h *history) shrunk() (bool, error) {
	info, err := h.files.current.Stat()
	if err != nil || h.in == nil {
		return false, err
	}
	at, err := h.files.current.Seek(0, io.SeekCurrent)
	if err != nil || info.Size() >= at {
		return false, err
	}
	if _, err := h.files.current.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	h.in = &lines{r: h.files.current}
	return true, nil
}
