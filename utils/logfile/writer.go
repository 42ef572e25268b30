package logfile

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

const (
	defaultBuffer = 1 << 20          // bytes
	batchSize     = 64 << 10         // bytes that are written at once
	retryInterval = time.Second      // between attempts to write, after an error
	sayInterval   = 10 * time.Second // between two lines about losses, while output comes faster than it can be written
	hangs         = time.Second      // that a write takes at most, unless something is wrong
)

var errClosed = errors.New("the log is closed")

// sink is where a Writer writes to. One goroutine uses it.
type sink interface {
	io.Writer
	io.Closer
}

// Writer passes lines on to one goroutine that writes them. Who calls it never waits for the disk or the console.
//
//	Write ─► buffer, bounded ─► goroutine ─► sink
//	           └ full: the oldest line goes, is counted, and a line says so when writing works again
//
// What could not be written is tried again every second. The methods may be called from any goroutine.
type Writer struct {
	to     sink
	name   string                            // for errors
	owner  func(line []byte) string          // of a dropped line
	lost   func(at time.Time, l Lost) []byte // the line that tells of a loss
	report func(error)

	mu       sync.Mutex
	ring     ring
	scratch  []byte        // for the beginning of a line
	put      uint64        // lines that were taken in
	batch    int           // lines that the goroutine has in hand: they are older than those in the ring
	first    uint64        // number of the first of them, counted as put is
	since    time.Time     // when the write began that is going on; zero: none is
	trouble  error         // of the last write
	loss     Lost          // not yet said
	said     time.Time     // when the last loss was
	dropped  uint64        // lines, in all
	running  bool          // the goroutine
	closed   bool          // no more lines are taken in
	progress chan struct{} // closed when a batch has been written; nil: nobody waits for it
	wake     chan struct{} // holds one: there is something to do; when it is full, that is known already
	stop     chan struct{} // closed: the goroutine gives up what it holds
	done     chan struct{} // closed by the goroutine

	reporting sync.Mutex // held while report is called; taken before mu
	reported  error
}

// Lost is what was dropped.
type Lost struct {
	Lines    int
	Of       map[string]int // lines by owner
	From, To time.Time      // of the loss
	Why      string
}

// owners bounds Lost.Of.
const owners = 20

func newWriter(name string, to sink, buffer int) *Writer {
	if buffer <= 0 {
		buffer = defaultBuffer
	}
	return &Writer{
		name: name, to: to, ring: ring{max: buffer},
		owner: func([]byte) string { return "" },
		wake:  make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
}

// NewWriter returns a Writer to a console, or whatever else takes lines. It holds at most buffer bytes, 1 MiB when
// that is 0. lost makes the line that tells of a loss, with its newline. Close does not close to. When to is an os.File
// whose reader has gone, that is an error as any other, and does not end the process.
func NewWriter(to io.Writer, buffer int, lost func(at time.Time, l Lost) []byte) *Writer {
	w := newWriter("console", plain{to}, buffer)
	w.lost = lost
	return w
}

// plain makes a sink of an io.Writer.
type plain struct{ io.Writer }

func (p plain) Write(b []byte) (int, error) {
	if f, ok := p.Writer.(*os.File); ok {
		return writeTo(f, b)
	}
	return p.Writer.Write(b)
}

func (plain) Close() error { return nil }

// Write takes in lines. The last one gets a newline if it has none. It never blocks and returns no error; after Close
// lines are dropped.
func (w *Writer) Write(lines []byte) (int, error) {
	lost := false
	w.mu.Lock()
	for line := range bytes.Lines(lines) {
		end := "\n"
		if line[len(line)-1] == '\n' {
			end = ""
		}
		lost = take(w, line, "", end) || lost
	}
	w.mu.Unlock()
	w.taken(lost)
	return len(lines), nil
}

// take takes in a line in three parts and reports whether something was dropped for it. w.mu is held.
func take[T string | []byte](w *Writer, head []byte, text T, end string) (lost bool) {
	before := w.dropped
	switch {
	case w.closed:
		w.dropped++
		return false
	case w.ring.room(len(head)+len(text)+len(end), w.drop):
		put(&w.ring, head)
		put(&w.ring, text)
		put(&w.ring, end)
		w.ring.end()
		w.put++
	default:
		w.dropFor(head, "the line is longer than the buffer")
	}
	if !w.running {
		w.running = true
		go w.run()
	}
	return w.dropped != before
}

// taken is called after take, without w.mu.
func (w *Writer) taken(lost bool) {
	w.signal()
	if lost {
		w.tell()
	}
}

func (w *Writer) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// drop counts a line that went for another one. w.mu is held.
func (w *Writer) drop(line []byte) { w.dropFor(line, w.why()) }

// tooFast is said when nothing else is known.
const tooFast = "lines came faster than they could be written"

// why says why lines are dropped. w.mu is held.
func (w *Writer) why() string {
	switch {
	case w.trouble != nil:
		return w.trouble.Error()
	case !w.since.IsZero() && time.Since(w.since) > hangs:
		return "a write hung"
	}
	return tooFast
}

// dropFor counts a line that is lost. w.mu is held.
func (w *Writer) dropFor(line []byte, why string) {
	w.dropped++
	l := &w.loss
	now := time.Now()
	if l.Lines == 0 {
		l.From, l.Of = now, map[string]int{}
	}
	if l.Lines == 0 || why != tooFast {
		l.Why = why
	}
	l.Lines, l.To = l.Lines+1, now
	of := w.owner(line)
	if _, ok := l.Of[of]; !ok && len(l.Of) >= owners {
		of = "others"
	}
	l.Of[of]++
}

// run writes until the Writer is closed and all is written, or given up.
func (w *Writer) run() {
	defer close(w.done)
	defer w.to.Close()
	var batch, rest []byte // rest is what is not written of batch
	for {
		if len(rest) == 0 {
			var ok bool
			if batch, ok = w.next(batch); !ok {
				return
			}
			rest = batch
		}
		n, err := w.to.Write(rest)
		rest = rest[n:]
		w.settle(len(rest) == 0, err)
		if err == nil {
			continue
		}
		select {
		case <-time.After(retryInterval):
		case <-w.stop:
			return
		}
	}
}

// next waits for lines and returns as many of them as are written at once; false: the end.
func (w *Writer) next(batch []byte) ([]byte, bool) {
	if batch = batch[:0]; cap(batch) > ringKeep {
		batch = nil
	}
	for {
		w.mu.Lock()
		all := w.ring.size <= batchSize
		if w.loss.Lines > 0 && (all || time.Since(w.said) > sayInterval) {
			w.said = time.Now()
			batch = append(batch, w.lost(w.said, w.loss)...)
			w.loss = Lost{}
		}
		w.first = w.put - uint64(w.ring.lines)
		batch, w.batch = w.ring.take(batch, batchSize)
		if len(batch) > 0 {
			w.since = time.Now()
			w.mu.Unlock()
			return batch, true
		}
		closed := w.closed
		w.mu.Unlock()
		if closed {
			return nil, false
		}
		select {
		case <-w.wake:
		case <-w.stop:
			return nil, false
		}
	}
}

// settle notes how a write went; whole: nothing of the batch is left.
func (w *Writer) settle(whole bool, err error) {
	w.mu.Lock()
	w.since, w.trouble = time.Time{}, err
	if !whole {
		w.since = time.Now()
	} else {
		w.batch = 0
		if w.progress != nil {
			close(w.progress)
			w.progress = nil
		}
	}
	w.mu.Unlock()
	w.tell()
}
