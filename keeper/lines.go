//go:build unix

package keeper

import (
	"bytes"
	"errors"
	"os"
	"time"
)

const (
	maxLine      = 64 << 10    // bytes after which a line is cut
	partialAfter = time.Second // that a line may stay without its newline
)

// lines reads a pipe and passes its lines on.
type lines struct {
	from *os.File
	half []byte // of a line, without its end
	stop chan struct{}
	done chan struct{} // closed when nothing more is read
	to   func(text string)
}

func newLines(from *os.File, half []byte, to func(string)) *lines {
	return &lines{from: from, half: half, stop: make(chan struct{}), done: make(chan struct{}), to: to}
}

// run reads until the end of the pipe, or until halt. It reports whether the end was reached.
func (l *lines) run() {
	defer close(l.done)
	chunk := make([]byte, 4<<10)
	for {
		if len(l.half) > 0 {
			_ = l.from.SetReadDeadline(time.Now().Add(partialAfter))
		} else {
			_ = l.from.SetReadDeadline(time.Time{})
		}
		select {
		case <-l.stop: // the deadline of halt may have been replaced by ours
			return
		default:
		}
		n, err := l.from.Read(chunk)
		l.take(chunk[:n])
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			select {
			case <-l.stop:
				return
			default:
				l.flush()
			}
		default:
			l.flush()
			_ = l.from.Close()
			return
		}
	}
}

func (l *lines) take(p []byte) {
	for len(p) > 0 {
		n := bytes.IndexByte(p, '\n')
		if room := maxLine - len(l.half); n < 0 && len(p) > room || n > room {
			l.half = append(l.half, p[:room]...)
			p = p[room:]
			l.flush()
			continue
		}
		if n < 0 {
			l.half = append(l.half, p...)
			return
		}
		l.to(string(append(l.half, p[:n]...)))
		l.half, p = nil, p[n+1:]
	}
}

func (l *lines) flush() {
	if len(l.half) > 0 {
		l.to(string(l.half))
		l.half = nil
	}
}

// halt stops reading and leaves what is half read in half.
func (l *lines) halt() {
	close(l.stop)
	_ = l.from.SetReadDeadline(time.Now())
	<-l.done
}

// end reads what is there, and no more.
func (l *lines) end() {
	l.halt()
	l.flush()
	_ = l.from.Close()
}
