package sim

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"syscall"
	"time"

	"github.com/baetyl/baetyl/internal/faultfs"
)

// handle is an open file or folder.
type handle struct {
	v      *view
	n      *node
	name   string
	at     int64
	append bool
	closed bool
}

func (h *handle) do(op string, changes bool, f func(d *Disk) error) error {
	return h.v.do(op, h.name, changes, func(d *Disk) error {
		if h.closed {
			return fs.ErrClosed
		}
		return f(d)
	})
}

// Read is part of file.File, as are the methods below.
func (h *handle) Read(p []byte) (n int, err error) {
	var end error // io.EOF comes as it is
	err = h.do("read", false, func(*Disk) error {
		n, end = h.read(p, h.at)
		h.at += int64(n)
		return nil
	})
	if err == nil {
		err = end
	}
	return n, err
}

func (h *handle) ReadAt(p []byte, off int64) (n int, err error) {
	var end error
	err = h.do("read", false, func(*Disk) error {
		if n, end = h.read(p, off); n < len(p) {
			end = io.EOF
		}
		return nil
	})
	if err == nil {
		err = end
	}
	return n, err
}

func (h *handle) read(p []byte, off int64) (int, error) {
	if off >= int64(len(h.n.data)) {
		return 0, io.EOF
	}
	return copy(p, h.n.data[off:]), nil
}

func (h *handle) Write(p []byte) (n int, err error) {
	err = h.do(fmt.Sprintf("write %d at %d,", len(p), h.at), true, func(d *Disk) error {
		if h.append {
			h.at = int64(len(h.n.data))
		}
		n, err := h.write(d, p, h.at)
		h.at += int64(n)
		return err
	})
	if err == nil {
		n = len(p)
	}
	return n, err
}

func (h *handle) WriteAt(p []byte, off int64) (n int, err error) {
	err = h.do(fmt.Sprintf("write %d at %d,", len(p), off), true, func(d *Disk) error {
		n, err = h.write(d, p, off)
		return err
	})
	return n, err
}

// write writes what there is room for.
func (h *handle) write(d *Disk, p []byte, off int64) (int, error) {
	more := max(0, off+int64(len(p))-int64(len(h.n.data)))
	if err := d.grow(more); err != nil {
		fits := max(0, int64(len(p))-more)
		h.edit(edit{off, append([]byte{}, p[:fits]...)})
		return int(fits), err
	}
	h.edit(edit{off, append([]byte{}, p...)})
	return len(p), nil
}

func (h *handle) edit(e edit) {
	h.n.data = e.apply(h.n.data)
	h.n.dirty = append(h.n.dirty, e)
	h.n.time = time.Now()
}

func (h *handle) resize(size int64) {
	h.v.disk.size += size - int64(len(h.n.data))
	h.edit(edit{at: size})
}

func (h *handle) Seek(offset int64, whence int) (at int64, err error) {
	err = h.do("seek", false, func(*Disk) error {
		switch whence {
		case io.SeekCurrent:
			offset += h.at
		case io.SeekEnd:
			offset += int64(len(h.n.data))
		}
		if offset < 0 {
			return syscall.EINVAL
		}
		h.at = offset
		at = offset
		return nil
	})
	return at, err
}

func (h *handle) Close() error {
	return h.do("close", false, func(*Disk) error {
		h.closed = true
		return nil
	})
}

func (h *handle) Stat() (out fs.FileInfo, err error) {
	err = h.do("stat", false, func(*Disk) error {
		out = h.n.info(path.Base(h.name))
		return nil
	})
	return out, err
}

func (h *handle) Chmod(mode fs.FileMode) error {
	return h.do("chmod", true, func(*Disk) error {
		h.n.mode = h.n.mode&fs.ModeType | mode.Perm()
		return nil
	})
}

func (h *handle) Chown(int, int) error { return nil }

func (h *handle) Truncate(size int64) error {
	return h.do(fmt.Sprintf("truncate at %d,", size), true, func(d *Disk) error {
		if err := d.grow(max(0, size-int64(len(h.n.data)))); err != nil {
			return err
		}
		d.size -= max(0, size-int64(len(h.n.data))) // resize counts it
		h.resize(size)
		return nil
	})
}

// Sync makes durable what is in the file, or the names in the folder.
func (h *handle) Sync() error {
	h.v.disk.mu.Lock()
	delay := h.v.disk.delay
	h.v.disk.mu.Unlock()
	if delay != nil {
		if d := delay(h.name); d > 0 {
			time.Sleep(d)
		}
	}
	err := h.do("sync", true, func(d *Disk) error {
		if h.n.mode.IsDir() {
			d.pending = faultfs.Commit(d.pending, h.n)
			return nil
		}
		for _, e := range h.n.dirty {
			h.n.safe = e.apply(h.n.safe)
		}
		h.n.dirty = nil
		return nil
	})
	if errors.Is(err, syscall.EIO) && !h.n.mode.IsDir() {
		h.doubt()
	}
	return err
}

// doubt lets chance say what of the file a Sync that has failed made durable; a later one does not try it again.
func (h *handle) doubt() {
	d := h.v.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	way := d.rnd.IntN(4)
	for _, e := range h.n.dirty {
		for _, part := range d.survive(e, way) {
			h.n.safe = part.apply(h.n.safe)
		}
	}
	h.n.dirty = nil
}
