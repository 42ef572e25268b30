package logs

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/logfile"
)

// file is a log with its rotated files.
type file struct {
	path  string
	parse parser
}

// snapshot are the files of a log at one moment, so that a rotation leaves none out and shows none twice.
type snapshot struct {
	old     []string // rotated, the oldest first
	current *os.File // nil: there is none
	size    int64    // of current
}

// open takes a snapshot. The caller closes current.
func (f file) open() (s snapshot, err error) {
	for range 100 { // it would have to be rotated as often meanwhile
		if s.current, err = logfile.OpenToRead(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return s, err
		}
		newestFirst, err := logfile.Backups(f.path)
		if err != nil {
			closeFile(s.current)
			return s, err
		}
		if f.is(s.current) {
			for n := len(newestFirst) - 1; n >= 0; n-- {
				s.old = append(s.old, newestFirst[n])
			}
			if s.current != nil {
				info, err := s.current.Stat()
				if err != nil {
					closeFile(s.current)
					return s, err
				}
				s.size = info.Size()
			}
			return s, nil
		}
		closeFile(s.current)
	}
	return s, errors.New("the log is rotated all the time: try again")
}

// is tells whether the log is in the open file at, or in none when that is nil.
func (f file) is(at *os.File) bool {
	now, err := os.Lstat(f.path)
	if at == nil || err != nil {
		return at == nil && err != nil
	}
	info, err := at.Stat()
	return err == nil && os.SameFile(info, now)
}

func closeFile(f *os.File) {
	if f != nil {
		_ = f.Close()
	}
}

// wanted says which lines are to be sent.
type wanted struct {
	since, until time.Time // zero: no limit
	tail         int       // the last ones of those; negative: all
}

func (w wanted) has(at time.Time) bool {
	return (w.since.IsZero() || !at.Before(w.since)) && (w.until.IsZero() || !at.After(w.until))
}

// start is where the wanted lines begin: in the rotated file with that index, or in current when there is none; at is
// an offset in what that file says.
type start struct {
	old int
	at  int64
}

// scanned is how much older than since all lines have to be until the search for since ends there: clocks of devices
// without a battery jump.
const scanned = 1 << 20

// find returns where the wanted lines begin, without reading what lies before them, as far as that can be.
func (f file) find(s snapshot, w wanted) (start, error) {
	switch {
	case w.tail == 0:
		return start{len(s.old), s.size}, nil
	case w.tail < 0 && w.since.IsZero():
		return start{}, nil
	}
	count := counter{f: f, want: w, left: w.tail}
	at, done := int64(0), false
	if s.current != nil {
		err := backwards(s.current, s.size, func(begin int64, line []byte) bool {
			at = begin
			done = count.enough(line)
			return !done
		})
		if err != nil || done {
			return start{len(s.old), at}, err
		}
	}
	for n := len(s.old) - 1; n >= 0; n-- {
		if rotated := logfile.RotatedAt(s.old[n]); w.tail < 0 && !w.since.IsZero() && rotated.Before(w.since) {
			return start{n + 1, 0}, nil
		}
		if w.tail < 0 {
			continue
		}
		at, found, err := f.last(s.old[n], w, count.left)
		if err != nil || found == count.left {
			return start{n, at}, err
		}
		count.left -= found
	}
	return start{}, nil
}

// counter counts wanted lines from the end of a file.
type counter struct {
	f     file
	want  wanted
	left  int // to be found; negative: all
	older int // bytes in a row of lines before since
}

// enough tells whether the search is over with this line.
func (c *counter) enough(line []byte) bool {
	if line = clean(line); len(line) == 0 {
		return false
	}
	at := c.f.parse(line, time.Time{}).Time
	if at.IsZero() || c.want.has(at) {
		c.older = 0
		c.left--
		return c.left == 0
	}
	if c.want.since.IsZero() || !at.Before(c.want.since) {
		c.older = 0
		return false
	}
	c.older += len(line) + 1
	return c.older > scanned
}

// last returns where the last wanted lines of a rotated file begin, at most most of them, and how many there are. A
// compressed one is read from its begin: it is not larger than a log may be.
func (f file) last(old string, w wanted, most int) (at int64, found int, err error) {
	r, err := logfile.OpenOld(old)
	if err != nil {
		return 0, 0, ignoreMissing(err)
	}
	defer r.Close()
	ring := make([]int64, 0, min(most, 1024))
	in, read := &lines{}, &counted{r: r}
	in.r = read
	for {
		begin := read.n - in.waiting()
		line, err := in.next()
		if err != nil && !errors.Is(err, io.EOF) {
			break // what can be read of a damaged file
		}
		if err != nil {
			if line = in.rest(); len(line) == 0 {
				break
			}
		}
		var at time.Time
		if _, ok := f.line(line, w, &at); !ok {
			continue
		}
		if found++; len(ring) < most {
			ring = append(ring, begin)
		} else {
			ring[(found-1)%most] = begin
		}
	}
	if found == 0 {
		return 0, 0, nil
	}
	if found <= most {
		return ring[0], found, nil
	}
	return ring[found%most], most, nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) { // too old meanwhile
		return nil
	}
	return err
}

// counted counts what was read.
type counted struct {
	r io.Reader
	n int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// line returns a parsed line, and false for one that is not wanted or says nothing.
func (f file) line(raw []byte, w wanted, at *time.Time) (masterapi.LogLine, bool) {
	raw = clean(raw)
	if len(raw) == 0 {
		return masterapi.LogLine{}, false
	}
	l := f.parse(raw, *at)
	*at = l.Time
	return l, w.has(l.Time) || l.Time.IsZero()
}
