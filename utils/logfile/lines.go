package logfile

import (
	"bytes"
	"io"
	"strings"
	"sync"
	"time"
	"unicode"
)

const (
	lineCap   = 64 << 10    // bytes of one line in the file; the rest goes on in the next
	readSize  = 8 << 10     // bytes that are read at once
	waitLine  = time.Second // for the rest of a line; then what is there is written
	tailLines = 20          // kept in memory
	tailCap   = 200         // bytes of a kept line
	goesOn    = "+"         // after the stream of a line that goes on where the one before ended
)

// Lines cuts the output of one process into lines, which it writes to the file of its service. Its methods may be
// called from any goroutine; for each stream, one goroutine at a time may write or copy.
//
// Whatever bytes a line has stand in the file as they came, but for "\r" at its end. A line without newline is written
// after a second, a long one every 64 KiB; the line with the rest has a "+" after its stream, "stdout+: ".
type Lines struct {
	file     *File
	instance string

	mu      sync.Mutex
	streams map[string]*stream
	tail    [][]byte // a ring: next is the oldest
	next    int
}

// State is what a program that takes over the pipes of another one needs to go on in the middle of a line.
type State struct {
	Tail    []string `json:",omitempty"`
	Streams []Half   `json:",omitempty"`
}

// Half is the beginning of a line.
type Half struct {
	Stream string
	Text   []byte
	Begun  bool // a part of it is in the file
}

// NewLines returns the Lines of an instance.
func NewLines(f *File, instance string) *Lines {
	return &Lines{file: f, instance: instance, streams: map[string]*stream{}}
}

// Copy reads r until it ends, which is nil, or fails. The end of a read deadline stops it (os.ErrDeadlineExceeded): the
// half line stays, for State, or for the next Copy.
func (l *Lines) Copy(stream string, r io.Reader) error {
	s := l.stream(stream)
	_, _ = s.Write(nil)
	buf := make([]byte, readSize)
	for {
		n, err := r.Read(buf)
		_, _ = s.Write(buf[:n])
		if err == io.EOF {
			return s.Close()
		}
		if err != nil {
			return err
		}
	}
}

// Stream returns a writer of what comes out of a stream. It never blocks and returns no error. Close says that no more
// comes: a half line is written.
func (l *Lines) Stream(stream string) io.WriteCloser { return l.stream(stream) }

func (l *Lines) stream(name string) *stream {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open(name)
}

// open is stream with l.mu held.
func (l *Lines) open(name string) *stream {
	s := l.streams[name]
	if s == nil {
		s = &stream{lines: l, name: name}
		l.streams[name] = s
	}
	return s
}

// Line writes a whole line with a time of its own.
func (l *Lines) Line(at time.Time, stream, text string) {
	text = strings.ReplaceAll(strings.TrimRight(text, "\r\n"), "\n", " ")
	l.mu.Lock()
	defer l.mu.Unlock()
	for label := stream; ; label = stream + goesOn {
		part := text[:min(len(text), lineCap)]
		addLine(l.file, at, l.instance, label, part)
		l.keep([]byte(part))
		if text = text[len(part):]; text == "" {
			return
		}
	}
}

// Tail returns the last lines that were not empty, at most 20, the newest last, made fit for a terminal: at most 200
// bytes of each, valid UTF-8, no control characters.
func (l *Lines) Tail() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]string, 0, len(l.tail))
	for i := range l.tail {
		out = append(out, clean(l.tail[(l.next+i)%len(l.tail)]))
	}
	return out
}

// State returns the state. Nothing may write meanwhile. Half lines wait from then on; when the program stays after all,
// the next Copy or Write goes on with them.
func (l *Lines) State() State {
	out := State{Tail: l.Tail()}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.streams {
		s.since = time.Time{}
		if len(s.half) > 0 || s.begun {
			out.Streams = append(out.Streams, Half{s.name, bytes.Clone(s.half), s.begun})
		}
	}
	return out
}

// Restore puts in what State returned, before anything is written. A half line gets another second.
func (l *Lines) Restore(state State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, text := range state.Tail {
		l.keep([]byte(text))
	}
	for _, h := range state.Streams {
		s := l.open(h.Stream)
		s.half, s.begun = bytes.Clone(h.Text), h.Begun
		if len(s.half) > 0 {
			s.arm()
		}
	}
}

// keep keeps a line for Tail. l.mu is held.
func (l *Lines) keep(text []byte) {
	if len(bytes.TrimSpace(text)) == 0 {
		return
	}
	text = text[:min(len(text), tailCap+1)] // one more tells that it was longer
	if len(l.tail) < tailLines {
		l.tail = append(l.tail, bytes.Clone(text))
		return
	}
	l.tail[l.next] = append(l.tail[l.next][:0], text...)
	l.next = (l.next + 1) % tailLines
}

// clean makes a kept line fit for people.
func clean(text []byte) string {
	long := len(text) > tailCap
	s := string(text[:min(len(text), tailCap)])
	if long {
		s += "…"
	}
	return strings.Map(func(r rune) rune {
		if r != '\t' && unicode.IsControl(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// stream is one of the streams of Lines, which guards it.
type stream struct {
	lines *Lines
	name  string
	half  []byte      // of a line
	begun bool        // a part of the line is in the file
	since time.Time   // of the half line; zero: it is not timed
	timer *time.Timer // nil: never needed
}

// Write takes what comes out, cut anywhere.
func (s *stream) Write(p []byte) (int, error) {
	s.lines.mu.Lock()
	defer s.lines.mu.Unlock()
	n := len(p)
	for len(p) > 0 {
		window := p[:min(len(p), lineCap-len(s.half))]
		k := bytes.IndexByte(window, '\n')
		text := window
		if k >= 0 {
			text = window[:k]
		}
		p = p[len(text):]
		if k >= 0 {
			p = p[1:]
		}
		whole := k >= 0 || len(s.half)+len(text) == lineCap
		if !whole || len(s.half) > 0 {
			s.half = append(s.half, text...)
			text = s.half
		}
		if whole {
			s.line(text, k >= 0)
			s.forget()
		}
	}
	if len(s.half) > 0 && s.since.IsZero() {
		s.arm()
	}
	return n, nil
}

// Close writes a half line.
func (s *stream) Close() error {
	s.lines.mu.Lock()
	defer s.lines.mu.Unlock()
	s.flush()
	s.begun = false
	return nil
}

// line writes a line, or a part of one. The end of a line whose parts are in the file already needs no line of its own.
func (s *stream) line(text []byte, ends bool) {
	if ends {
		text = bytes.TrimRight(text, "\r")
	}
	label := s.name
	if s.begun {
		label += goesOn
	}
	if !s.begun || len(text) > 0 {
		addLine(s.lines.file, time.Now(), s.lines.instance, label, text)
		s.lines.keep(text)
	}
	s.begun = !ends
}

func (s *stream) flush() {
	if len(s.half) > 0 {
		s.line(s.half, false)
		s.forget()
	}
}

// forget makes place for the next line.
func (s *stream) forget() {
	s.since = time.Time{}
	if s.half = s.half[:0]; cap(s.half) > readSize {
		s.half = nil
	}
}

// arm starts the second after which the half line is written. The timer may fire for an earlier one: since tells.
func (s *stream) arm() {
	s.since = time.Now()
	if s.timer != nil {
		s.timer.Reset(waitLine)
		return
	}
	s.timer = time.AfterFunc(waitLine, func() {
		s.lines.mu.Lock()
		defer s.lines.mu.Unlock()
		if !s.since.IsZero() && time.Since(s.since) >= waitLine {
			s.flush()
		}
	})
}
