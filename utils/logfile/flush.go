package logfile

import (
	"context"
	"fmt"
	"time"
)

// Trouble returns why lines cannot be written at present, nil when they can.
func (w *Writer) Trouble() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.trouble != nil:
		return w.trouble
	case w.since.IsZero() || time.Since(w.since) < hangs:
		return nil
	}
	return fmt.Errorf("write %s: hangs since %s", w.name, w.since.Format(time.TimeOnly))
}

// tell reports trouble once when it begins and once, with nil, when it has ended.
func (w *Writer) tell() {
	if w.report == nil {
		return
	}
	w.reporting.Lock()
	defer w.reporting.Unlock()
	if now := w.Trouble(); (now == nil) != (w.reported == nil) {
		w.reported = now
		w.report(now)
	}
}

// Dropped returns how many lines were lost.
func (w *Writer) Dropped() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dropped
}

// Flush waits until all lines that were taken in before are written, or dropped. The error says why that was not so
// when ctx ended.
func (w *Writer) Flush(ctx context.Context) error {
	w.mu.Lock()
	until := w.put
	for w.settled() < until {
		if w.progress == nil {
			w.progress = make(chan struct{})
		}
		progress := w.progress
		w.mu.Unlock()
		select {
		case <-progress:
		case <-w.done:
			return fmt.Errorf("flush %s: %w", w.name, errClosed)
		case <-ctx.Done():
			return w.unwritten(ctx.Err())
		}
		w.mu.Lock()
	}
	w.mu.Unlock()
	return nil
}

// settled returns the number of the first line that is not written, counted as put is. w.mu is held.
func (w *Writer) settled() uint64 {
	if w.batch > 0 {
		return w.first
	}
	return w.put - uint64(w.ring.lines)
}

func (w *Writer) unwritten(err error) error {
	if trouble := w.Trouble(); trouble != nil {
		return fmt.Errorf("flush %s: %w: %w", w.name, err, trouble)
	}
	return fmt.Errorf("flush %s: %w", w.name, err)
}

// Close takes in no more lines and waits until the others are written, but no longer than ctx. What is not written then
// is given up; the error says why.
func (w *Writer) Close(ctx context.Context) error {
	w.mu.Lock()
	running, closed := w.running, w.closed
	w.closed = true
	w.mu.Unlock()
	if !running {
		if closed {
			return nil
		}
		return w.to.Close()
	}
	w.signal()
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
	}
	err := w.unwritten(ctx.Err())
	w.giveUp()
	return err
}

// giveUp lets the goroutine end with its next step.
func (w *Writer) giveUp() {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.stop:
	default:
		close(w.stop)
	}
}
