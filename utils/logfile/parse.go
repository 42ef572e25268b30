package logfile

import (
	"bytes"
	"time"
)

// Entry is a line of a File, taken apart.
type Entry struct {
	At       time.Time // milliseconds
	Instance string    // "-" in lines that the package writes itself
	Stream   string    // Stdout, Stderr or Own
	GoesOn   bool      // with the rest of the line before it of this instance and stream
	Text     []byte    // of the line that was parsed, not a copy
}

// Parse takes a line apart, with or without its newline. It reports false when it is not one of a File.
func Parse(line []byte) (e Entry, ok bool) {
	stamp, rest, ok1 := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(" ["))
	instance, rest, ok2 := bytes.Cut(rest, []byte("] "))
	label, text, ok3 := bytes.Cut(rest, []byte(": "))
	label, e.GoesOn = bytes.CutSuffix(label, []byte(goesOn))
	switch string(label) {
	case Stdout:
		e.Stream = Stdout
	case Stderr:
		e.Stream = Stderr
	case Own:
		e.Stream = Own
	default:
		return Entry{}, false
	}
	at, err := time.Parse(Stamp, string(stamp))
	if err != nil || !ok1 || !ok2 || !ok3 {
		return Entry{}, false
	}
	e.At, e.Instance, e.Text = at, string(instance), text
	return e, true
}
