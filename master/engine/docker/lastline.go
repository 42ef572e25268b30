//go:build unix

package docker

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/baetyl/baetyl/utils/logfile"
)

// searched is how many rotated files findPlace reads at most.
const searched = 2

// findPlace reads the file of a service, and those before it, from their ends. A stream of which there is no line has
// everything still to come; but when there are older files, or the files do not reach back to began, when the container
// started, only what is younger than what was read.
func findPlace(path, instance string, began time.Time) (*place, error) {
	p := &place{}
	before, err := logfile.Backups(path)
	older := len(before) > searched
	if older {
		before = before[:searched]
	}
	var oldest time.Time
	for _, path := range append([]string{path}, before...) {
		if p.complete() {
			break
		}
		first, err2 := p.search(path, instance)
		err = errors.Join(err, err2)
		if !first.IsZero() {
			oldest = first
		}
	}
	for n := range p.streams {
		s := &p.streams[n]
		slices.Reverse(s.lines) // they were found from the last one on
		if s.at.IsZero() && (older && oldest.After(began) || oldest.Sub(began) > time.Minute) {
			s.at = oldest
		}
	}
	return p, err
}

// complete tells whether older files matter no more.
func (p *place) complete() bool { return p.streams[0].complete && p.streams[1].complete }

// search reads one file from its end, until it knows the last lines of both streams. It returns the time of the first
// line, zero if it did not come that far.
func (p *place) search(path, instance string) (first time.Time, err error) {
	f, err := openLog(path)
	if errors.Is(err, fs.ErrNotExist) {
		if f, err = openLog(path + compressed); errors.Is(err, fs.ErrNotExist) { // it is compressed meanwhile
			return time.Time{}, nil
		}
		path += compressed
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("find last line of instance: %w", err)
	}
	defer f.Close()
	if strings.HasSuffix(path, compressed) {
		lines, err := unpackTail(f)
		if err != nil {
			return time.Time{}, fmt.Errorf("find last line of instance: %w", err)
		}
		return p.backwards(lines, instance), nil
	}
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return time.Time{}, fmt.Errorf("find last line of instance: %w", err)
	}
	var rest []byte // beginning of the lines that were read, whose beginning was not
	for end > 0 && !p.complete() {
		size := min(end, 1<<20)
		end -= size
		part := make([]byte, size, int(size)+len(rest))
		if _, err := f.ReadAt(part, end); err != nil {
			return time.Time{}, fmt.Errorf("find last line of instance: %w", err)
		}
		part = append(part, rest...)
		rest = nil
		if end > 0 {
			n := bytes.IndexByte(part, '\n') + 1
			rest, part = bytes.Clone(part[:n]), part[n:]
		}
		if at := p.backwards(part, instance); end == 0 {
			first = at
		}
	}
	return first, nil
}

// openLog opens a file for reading. Whoever can write in its folder may have put a link there, or a pipe that nobody
// writes to: neither is followed, or waited for.
func openLog(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
}

// backwards takes in lines from the last one on, and returns the time of the first.
func (p *place) backwards(part []byte, instance string) (first time.Time) {
	for len(part) > 0 {
		n := bytes.LastIndexByte(part[:len(part)-1], '\n') + 1
		line := part[n:]
		part = part[:n]
		e, ok := logfile.Parse(line)
		if !ok {
			continue
		}
		first = e.At
		for k, name := range streamNames {
			s := &p.streams[k]
			switch {
			case e.Stream != name || e.Instance != instance || e.GoesOn || s.complete:
			case s.at.IsZero():
				s.at, s.lines = e.At, []string{string(e.Text)}
			case s.at.Equal(e.At):
				s.lines = append(s.lines, string(e.Text))
			default:
				s.complete = true
			}
		}
	}
	return first
}

// compressed is what the name of a compressed file ends with.
const compressed = ".gz"

// tailSize is how much of the end of a compressed file is looked at, at least.
const tailSize = 4 << 20

// unpackTail returns the last lines in a compressed file.
func unpackTail(r io.Reader) ([]byte, error) {
	in, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	var tail []byte
	part := make([]byte, 1<<20)
	cut := false
	for {
		n, err := io.ReadFull(in, part)
		tail = append(tail, part[:n]...)
		if len(tail) > 2*tailSize {
			tail, cut = bytes.Clone(tail[len(tail)-tailSize:]), true
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	if cut {
		tail = tail[bytes.IndexByte(tail, '\n')+1:]
	}
	return tail, nil
}
