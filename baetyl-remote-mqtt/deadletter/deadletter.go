// Package deadletter keeps messages that a broker never takes, with the reason, so that they hold up nothing and are
// not lost unseen.
//
// It promises that a message which Keep took is on disk, that the file has an end, and that a write that does not
// succeed leaves the file as it was. It does not read the file; that is for people: one JSON object a line.
package deadletter

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/baetyl/baetyl/utils/file"
)

// ErrFull is returned when the file has no room for a message.
var ErrFull = errors.New("file of dead letters is full")

// Entry is one line of the file.
type Entry struct {
	Time    time.Time `json:"time"`
	Rule    int       `json:"rule"`   // position in rules
	From    string    `json:"from"`   // hub, or the name of a remote
	To      string    `json:"to"`     // the same
	Topic   string    `json:"topic"`  // where it came from
	Target  string    `json:"target"` // where it should have gone
	QOS     uint32    `json:"qos"`
	Retain  bool      `json:"retain"`
	Payload []byte    `json:"payload"` // base64
	Reason  string    `json:"reason"`
}

// File is messages.jsonl in a folder. Keep may be called from any goroutine.
type File struct {
	dir  string
	max  int64 // bytes
	disk file.Disk

	mu    sync.Mutex
	named bool // the name of the file is durable
}

// New returns the file in dir, which lies on disk. It is made with the first message.
func New(disk file.Disk, dir string, max int64) *File { return &File{dir: dir, max: max, disk: disk} }

// Path is where the file is.
func (f *File) Path() string { return filepath.Join(f.dir, "messages.jsonl") }

// Keep appends e and syncs. On an error nothing is kept.
func (f *File) Keep(e Entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("keep dead letter: %w", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.add(append(line, '\n')); err != nil {
		return fmt.Errorf("keep dead letter in %s: %w", f.Path(), err)
	}
	return nil
}

func (f *File) add(line []byte) (err error) {
	if err := f.disk.MakeDir(f.dir, 0o755); err != nil {
		return err
	}
	out, err := f.disk.OpenFile(f.Path(), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	info, err := out.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	if size > 0 {
		last := make([]byte, 1)
		if _, err := out.ReadAt(last, size-1); err != nil {
			return err
		}
		if last[0] != '\n' { // a power cut has left half a line
			line = append([]byte{'\n'}, line...)
		}
	}
	if size+int64(len(line)) > f.max {
		return ErrFull
	}
	if _, err = out.Write(line); err == nil {
		err = out.Sync()
	}
	if err == nil && !f.named {
		err = f.disk.SyncDir(f.dir)
		f.named = err == nil
	}
	if err != nil {
		return errors.Join(err, out.Truncate(size))
	}
	return nil
}
