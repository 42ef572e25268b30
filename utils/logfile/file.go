// Package logfile writes log files for those who must never wait for a disk.
//
//	pipe ─► Lines ─► File ─► buffer, bounded ─► goroutine ─► <path>
//	          └► Tail, the last lines                         └ rotated: <name>-<time><ext>.gz
//
// A line is lost only when the buffer is full, which takes a disk that is full, hangs, or is slower than the output.
// Then the oldest go, and one line in the file tells how many of whom, and why. A file that was rotated, moved, removed
// or replaced from outside is opened again within a second; its folder is made again.
//
// It knows nothing of services. The keeper, the engines and the log of every program write with it.
package logfile

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits of a file. Zero values mean: no limit.
type Limits struct {
	Size    int64         // bytes after which the file is rotated
	Age     time.Duration // that a rotated file is kept
	Backups int           // rotated files that are kept, compressed
	Buffer  int           // bytes that wait for the disk at most; 0: 1 MiB. Only New looks at it
	// NoLink: a symbolic link at the path is not followed, whoever made it. For files where root in a container may
	// write: its links are those of root. Without, a link of root or of this process's user is followed. Only New looks
	// at it.
	NoLink bool
	// Report is called when lines cannot be written, and with nil when they can be again; nil: nobody wants to know. It
	// must not block, nor use the File.
	Report func(error)
}

// Streams of a process, and that of the lines that the package writes itself.
const (
	Stdout = "stdout"
	Stderr = "stderr"
	Own    = "log"
)

// Stamp is the format of the time of a line.
const Stamp = "2006-01-02T15:04:05.000Z07:00"

// File is a log file. Its methods may be called from any goroutine.
type File struct {
	*Writer
	disk *disk
}

// New returns the file at path. It is opened, and made if need be, with the first line.
func New(path string, l Limits) *File {
	d := newDisk(path, l)
	f := &File{Writer: newWriter(path, d, l.Buffer), disk: d}
	f.report = l.Report
	f.lost = func(at time.Time, l Lost) []byte { return fmt.Appendf(appendHead(nil, at, "-", Own), "%s\n", l) }
	f.owner = func(line []byte) string {
		_, rest, _ := bytes.Cut(line, []byte(" ["))
		instance, _, _ := bytes.Cut(rest, []byte("] "))
		return string(instance)
	}
	return f
}

// SetLimits changes when the file is rotated and how long rotated ones stay. Buffer, NoLink and Report stay as they
// are.
func (f *File) SetLimits(l Limits) { f.disk.setLimits(l) }

// OnLoss sets what makes the line that tells of a loss, with its newline, for files that have lines of another kind. It
// is called before the first line.
func (f *File) OnLoss(lost func(at time.Time, l Lost) []byte) {
	f.lost = lost
	f.owner = func([]byte) string { return "" }
}

// Line takes in a line of an instance. It never blocks. A newline in text becomes a space. After Close the line is
// dropped.
func (f *File) Line(at time.Time, instance, stream, text string) {
	if strings.IndexByte(text, '\n') >= 0 {
		text = strings.ReplaceAll(text, "\n", " ")
	}
	addLine(f, at, instance, stream, text)
}

// addLine is Line for a text without newlines.
func addLine[T string | []byte](f *File, at time.Time, instance, stream string, text T) {
	f.mu.Lock()
	f.scratch = appendHead(f.scratch[:0], at, instance, stream)
	lost := take(f.Writer, f.scratch, text, "\n")
	f.mu.Unlock()
	f.taken(lost)
}

// appendHead appends what stands before the text of a line.
func appendHead(b []byte, at time.Time, instance, stream string) []byte {
	b = append(at.AppendFormat(b, Stamp), " ["...)
	b = append(append(b, instance...), "] "...)
	return append(append(b, stream...), ": "...)
}

// String says what was lost, in words.
func (l Lost) String() string {
	b := []byte(strconv.Itoa(l.Lines) + " lines were lost from " + l.From.Format(Stamp) + " to " + l.To.Format(Stamp))
	sep := " ("
	for _, of := range slices.Sorted(maps.Keys(l.Of)) {
		if of != "" {
			b = fmt.Appendf(b, "%s%s: %d", sep, of, l.Of[of])
			sep = ", "
		}
	}
	if sep == ", " {
		b = append(b, ')')
	}
	return string(b) + ": " + l.Why
}
