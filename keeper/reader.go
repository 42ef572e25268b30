//go:build unix

package keeper

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"time"
)

// reader reads a pipe until it ends, or until it is halted.
type reader struct {
	pipe *os.File
	copy func(io.Reader) error // ends with os.ErrDeadlineExceeded at a deadline, and keeps what is half read
	done chan struct{}         // closed when nothing more is read
	end  bool                  // of the pipe was reached; written before done is closed
}

// start reads, at first and after halt. ended is called when the pipe has ended, beside the loop.
func (r *reader) start(ended func()) {
	done := make(chan struct{})
	r.done = done
	_ = r.pipe.SetReadDeadline(time.Time{})
	go func() { // ends with the pipe, or with halt
		err := r.copy(r.pipe)
		end := !errors.Is(err, os.ErrDeadlineExceeded)
		r.end = end
		close(done)
		if end {
			ended()
		}
	}()
}

// halt stops reading.
func (r *reader) halt() {
	_ = r.pipe.SetReadDeadline(time.Now()) // fails after the end of the pipe
	<-r.done
}

// relay passes whole lines on to the console.
type relay struct {
	to   io.Writer // of one line for each call
	half []byte
}

// copy returns nil at the end, where it passes on a half line.
func (r *relay) copy(from io.Reader) error {
	in := bufio.NewReader(from)
	for {
		line, err := in.ReadSlice('\n')
		r.half = append(r.half, line...)
		over := err != nil && !errors.Is(err, bufio.ErrBufferFull) && !errors.Is(err, os.ErrDeadlineExceeded)
		whole := bytes.HasSuffix(r.half, []byte("\n"))
		if (over || len(r.half) >= maxConsoleLine) && !whole && len(r.half) > 0 {
			r.half, whole = append(r.half, '\n'), true
		}
		if whole {
			_, _ = r.to.Write(r.half) // never fails, never waits
			r.half = r.half[:0]
		}
		switch {
		case over:
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}

// maxConsoleLine is after how many bytes a line of the master is cut.
const maxConsoleLine = 64 << 10
