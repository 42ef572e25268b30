package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
)

const (
	checkInterval = time.Second // between looks whether path still is the file that is open
	cleanInterval = time.Hour   // between looks for rotated files that are too old
)

// disk is the sink of a File: the open file, which it rotates. One goroutine uses it, but for setLimits.
type disk struct {
	path   string
	limits atomic.Pointer[Limits]
	old    *backups

	file    *os.File // nil: not open
	regular bool     // a file, not a pipe or a device: it can be rotated, and cut
	size    int64    // of the file, when it is regular
	checked time.Time
	cleaned time.Time
}

func newDisk(path string, l Limits) *disk {
	d := &disk{path: path, old: newBackups()}
	d.limits.Store(&l)
	return d
}

func (d *disk) setLimits(l Limits) {
	l.NoLink = d.limits.Load().NoLink
	d.limits.Store(&l)
}

// Write writes whole lines, or the rest of them after an error. When the disk has no room for all, it keeps whole
// lines.
func (d *disk) Write(p []byte) (int, error) {
	if err := d.ready(len(p)); err != nil {
		return 0, err
	}
	n, err := d.file.Write(p)
	d.size += int64(n)
	if err != nil && d.regular {
		n -= d.cut(p[:n])
		// The name may lead to another disk by now.
		d.shut()
	}
	return n, err
}

// cut takes half a line from the end of the file and returns its bytes. A file that others write to as well is left
// alone: the rest of the line follows.
func (d *disk) cut(written []byte) int {
	half := len(written) - (bytes.LastIndexByte(written, '\n') + 1)
	info, err := d.file.Stat()
	if half == 0 || err != nil || info.Size() != d.size || d.file.Truncate(d.size-int64(half)) != nil {
		return 0
	}
	d.size -= int64(half)
	return half
}

// Close closes the file and waits until nothing is compressed any more.
func (d *disk) Close() error {
	d.old.close()
	return d.shut()
}

func (d *disk) shut() error {
	if d.file == nil {
		return nil
	}
	err := d.file.Close()
	d.file = nil
	return err
}

// ready opens the file, or opens it again, or rotates it, as is due before n more bytes are written.
func (d *disk) ready(n int) error {
	now := time.Now()
	if d.file != nil && now.Sub(d.checked) >= checkInterval {
		d.check(now)
	}
	if d.file == nil {
		if err := d.open(); err != nil {
			return err
		}
		d.checked = now
	}
	l := d.limits.Load()
	if d.regular && l.Size > 0 && d.size > 0 && d.size+int64(n) > l.Size {
		if err := d.rotate(now); err != nil {
			return err
		}
		d.cleaned = time.Time{}
	}
	if d.regular && now.Sub(d.cleaned) >= cleanInterval {
		d.cleaned = now
		d.old.clean(d.path, *l)
	}
	return nil
}

// check closes a file that is not the one at path any more, and learns its size: others may have cut it.
func (d *disk) check(now time.Time) {
	d.checked = now
	named, err := os.Stat(d.path)
	open, err2 := d.file.Stat()
	if err != nil || err2 != nil || !os.SameFile(named, open) {
		d.shut()
		return
	}
	d.size = open.Size()
}

// open opens the file for appending. Its last line gets a newline if it has none: a killed process was writing it.
func (d *disk) open() error {
	path, err := resolve(d.path, d.limits.Load().NoLink)
	if err != nil {
		return fmt.Errorf("open log %s: %w", d.path, err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make folder of log: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|noFollow, 0o640)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return fmt.Errorf("open log: %w", err)
	}
	d.file, d.regular, d.size = f, info.Mode().IsRegular(), info.Size()
	if d.regular && d.size > 0 && !endsLine(path, d.size) {
		n, _ := f.Write([]byte("\n")) // if there is no room, the next write says so
		d.size += int64(n)
	}
	return nil
}

func endsLine(path string, size int64) bool {
	f, err := os.Open(path)
	if err != nil {
		return true
	}
	defer f.Close()
	var last [1]byte
	_, err = f.ReadAt(last[:], size-1)
	return err != nil || last[0] == '\n'
}

// rotate gives the file another name and opens a new one with the same mode and owner. A file that cannot be renamed
// grows on.
func (d *disk) rotate(now time.Time) error {
	info, err := d.file.Stat()
	if err != nil {
		return fmt.Errorf("rotate log: %w", err)
	}
	path, err := resolve(d.path, d.limits.Load().NoLink)
	if err != nil {
		return fmt.Errorf("rotate log %s: %w", d.path, err)
	}
	if err := os.Rename(path, d.old.name(path, now)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			d.shut()
			return d.open()
		}
		return nil
	}
	d.shut()
	if err := d.open(); err != nil {
		return err
	}
	own(d.file, info)
	return nil
}
