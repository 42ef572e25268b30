package output

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/baetyl/baetyl/utils/logfile"
)

// searched is how many bytes at the end of a file Last reads.
const searched = 1 << 20

// Mark is how far the output of an instance is in the file. Whoever can read the output again goes on there: it leaves
// out what is older than At, and of what has this very time, in milliseconds, the first Lines lines.
type Mark struct {
	At    time.Time // zero: the file has nothing
	Lines int       // that begin in the file with this time; a line that goes on in a second one counts once
}

// Last returns how far the output of an instance is in the file of its service, in the working directory dir. It reads
// at most the last MiB; when no line of the instance is there, At is the time of the oldest line, and Lines is 0. The
// file that was rotated last is read too, unless it is compressed already. Nothing may write to the file meanwhile.
func Last(dir, service, instance string) (Mark, error) {
	path := filepath.Join(dir, File(service))
	m, found, err := last(path, instance)
	if err != nil || found {
		return m, err
	}
	old, err := logfile.Rotated(path)
	if err != nil || old == "" {
		return m, err
	}
	older, found, err := last(old, instance) // nothing when it was compressed meanwhile
	if found || m.At.IsZero() {
		m = older
	}
	return m, err
}

// last is Last for one file; a missing one has nothing.
func last(path, instance string) (m Mark, found bool, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, false, nil
	}
	if err != nil {
		return m, false, fmt.Errorf("read output: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return m, false, fmt.Errorf("read output: %w", err)
	}
	data := make([]byte, min(searched, info.Size()))
	if _, err := f.ReadAt(data, info.Size()-int64(len(data))); err != nil && !errors.Is(err, io.EOF) {
		return m, false, fmt.Errorf("read output: %w", err)
	}
	var oldest time.Time
	for line := range bytes.Lines(data) { // the first may be cut, and is none then
		e, ok := logfile.Parse(line)
		switch {
		case !ok || e.Stream == logfile.Own:
			continue
		case oldest.IsZero():
			oldest = e.At
		}
		switch {
		case e.Instance != instance:
		case !found || !e.At.Equal(m.At):
			m, found = Mark{At: e.At, Lines: 1}, true
		case !e.GoesOn:
			m.Lines++
		}
	}
	if !found {
		m.At = oldest
	}
	return m, found, nil
}
