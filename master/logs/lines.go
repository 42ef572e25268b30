// Package logs reads what services have written: all of it, the end, or what comes.
//
//	var/log/baetyl/services/<service>.log, <service>-<time>.log[.gz] ─► file ─► history ─► merged by time ─► lines
//	                                                                              └► follow: as they come
//
// It promises that a rotation while it reads costs no line, that the end of a large file is found without reading the
// rest, that memory does not grow with lines, files or readers, and that nothing runs when nobody reads. Whatever
// stands in a file is text: lines of others, halves of lines and NULs of a power cut do no harm.
package logs

import (
	"bytes"
	"errors"
	"io"
)

const (
	firstBuffer = 16 << 10  // bytes
	maxLine     = 256 << 10 // bytes of a line; logfile writes a quarter of that, a longer one of others comes in pieces
)

// lines cuts what r has into lines. At the end of r it may be asked again: more may have come.
type lines struct {
	r          io.Reader
	buf        []byte
	begin, end int
}

// next returns the next line without its newline, until next is called again. io.EOF: there is no whole line.
func (l *lines) next() ([]byte, error) {
	seen := l.begin
	for {
		if n := bytes.IndexByte(l.buf[seen:l.end], '\n'); n >= 0 {
			line := l.buf[l.begin : seen+n]
			l.begin = seen + n + 1
			return line, nil
		}
		if l.end-l.begin >= maxLine {
			return l.rest(), nil
		}
		seen = l.room()
		n, err := l.r.Read(l.buf[l.end:])
		if l.end += n; n > 0 {
			continue
		}
		if err == nil {
			err = io.ErrNoProgress
		}
		return nil, err
	}
}

// room makes place for more, and returns where that comes.
func (l *lines) room() int {
	if l.begin > 0 {
		l.end = copy(l.buf, l.buf[l.begin:l.end])
		l.begin = 0
	}
	if l.end == len(l.buf) {
		l.buf = append(l.buf, make([]byte, max(firstBuffer, len(l.buf)))...)
	}
	return l.end
}

// rest returns what there is of a line that has no end.
func (l *lines) rest() []byte {
	line := l.buf[l.begin:l.end]
	l.begin = l.end
	return line
}

// waiting is how many bytes were read that next has not returned.
func (l *lines) waiting() int64 { return int64(l.end - l.begin) }

// backwards calls seen for each line of the first size bytes of f, the last one first, with where it begins and its
// text without newline, until that returns false.
func backwards(f io.ReaderAt, size int64, seen func(at int64, line []byte) bool) error {
	buf, tail := make([]byte, 64<<10), []byte(nil)
	for end := size; end > 0; {
		n := min(int64(len(buf)), end)
		if _, err := f.ReadAt(buf[:n], end-n); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		chunk := append(buf[:n:n], tail...)
		from := end - n // of chunk
		if end == size {
			chunk = bytes.TrimSuffix(chunk, []byte("\n"))
		}
		for {
			k := bytes.LastIndexByte(chunk, '\n')
			if k < 0 {
				break
			}
			if !seen(from+int64(k)+1, chunk[k+1:]) {
				return nil
			}
			chunk = chunk[:k]
		}
		end, tail = from, append([]byte(nil), chunk...)
		if end == 0 || len(tail) > maxLine { // a line of others that is too long: a piece of it
			if !seen(from, tail) {
				return nil
			}
			tail = nil
		}
	}
	return nil
}
