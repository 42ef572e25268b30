package events

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/logfile"
)

// Limits of the file with the events: it, and two more that were rotated.
const (
	maxFile = 1 << 20 // bytes
	backups = 2
)

// Keep reads the events that earlier masters have kept in the file at path, and keeps those that come there too. It is
// called once, before the first Add. A file that cannot be read is an error, and numbers begin anew; the events that
// come are kept all the same. A disk that is full or hangs costs events of the file, and holds up nobody.
func (r *Ring) Keep(path string) error {
	before, err := read(path)
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(before); n > 0 {
		r.list, r.next = before[max(0, n-r.size):], before[n-1].Number+1
	}
	r.file = logfile.New(path, logfile.Limits{Size: maxFile, Backups: backups})
	r.file.OnLoss(func(at time.Time, l logfile.Lost) []byte {
		return line(masterapi.Event{Time: at.UTC(), Kind: masterapi.EventsMissed, Text: l.String()})
	})
	return err
}

// Close writes what is left, until ctx ends. Add does nothing from then on.
func (r *Ring) Close(ctx context.Context) error {
	r.mu.Lock()
	file := r.file
	r.mu.Unlock()
	if file == nil {
		return nil
	}
	return file.Close(ctx)
}

func line(e masterapi.Event) []byte {
	data, _ := json.Marshal(e) // texts and numbers: cannot fail
	return append(data, '\n')
}

// read returns the newest events at path whose numbers have no gap.
func read(path string) ([]masterapi.Event, error) {
	old, err := logfile.Backups(path)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	var data []byte
	if len(old) > 0 { // the newest of those
		data = append(data, readAll(logfile.OpenOld(old[0]))...)
	}
	f, err := logfile.OpenToRead(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return parse(data), fmt.Errorf("read events: %w", err)
	}
	if err == nil {
		data = append(data, readAll(f, nil)...)
	}
	return parse(data), nil
}

// readAll returns what can be read, at most twice what a file has.
func readAll[R io.ReadCloser](f R, err error) []byte {
	if err != nil {
		return nil
	}
	defer f.Close()
	data, _ := io.ReadAll(io.LimitReader(f, 2*maxFile))
	return data
}

// parse returns the last events of data whose numbers have no gap; what is no event is left out.
func parse(data []byte) (out []masterapi.Event) {
	for text := range bytes.Lines(data) {
		var e masterapi.Event
		if json.Unmarshal(bytes.Trim(text, "\x00\n"), &e) != nil || e.Number == 0 || e.Number > 1<<53 || e.Kind == "" {
			continue
		}
		if n := len(out); n > 0 && e.Number != out[n-1].Number+1 {
			out = nil
		}
		out = append(out, e)
	}
	return out
}
