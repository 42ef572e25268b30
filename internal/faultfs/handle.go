package faultfs

import (
	"errors"
	"io"
	"io/fs"
	"math"

	"github.com/baetyl/baetyl/utils/file"
)

// handle is an open file or folder. Seek, Stat and Close fail only after the process has ended.
type handle struct {
	file.File
	disk *FS
	path string
	at   *node // nil: not of the model, or opened before Start
	read bool
}

// meet is FS.meet, with the lock held until done is called.
func (h *handle) meet(n need, op string) (done func(), err error) {
	h.disk.mu.Lock()
	if err := h.disk.meet(n, op, h.path); err != nil {
		return h.disk.mu.Unlock, err
	}
	if h.at == nil {
		h.at = h.disk.find(h.path)
	}
	return h.disk.mu.Unlock, nil
}

// reading is an operation once for each handle.
func (h *handle) reading() error {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if h.read && !h.disk.off {
		return nil
	}
	h.read = true
	return h.disk.meet(reads, "read", h.path)
}

func (h *handle) Read(p []byte) (int, error) {
	if err := h.reading(); err != nil {
		return 0, err
	}
	return h.File.Read(p)
}

func (h *handle) ReadAt(p []byte, off int64) (int, error) {
	if err := h.reading(); err != nil {
		return 0, err
	}
	return h.File.ReadAt(p, off)
}

func (h *handle) Write(p []byte) (int, error) { return h.write(p, h.File.Write) }

func (h *handle) WriteAt(p []byte, off int64) (int, error) {
	return h.write(p, func(p []byte) (int, error) { return h.File.WriteAt(p, off) })
}

func (h *handle) write(p []byte, to func([]byte) (int, error)) (int, error) {
	done, failed := h.meet(write, "write")
	defer done()
	if failed != nil && (h.disk.fault.Kind != Short || h.disk.off) {
		return 0, failed
	}
	if failed != nil {
		p = p[:len(p)/2]
	}
	h.changed()
	n, err := to(p)
	return n, errors.Join(failed, err)
}

func (h *handle) changed() {
	if h.at != nil {
		h.at.dirty = true
	}
}

func (h *handle) Truncate(size int64) error {
	done, err := h.meet(changes, "truncate")
	defer done()
	if err != nil {
		return err
	}
	h.changed()
	return h.File.Truncate(size)
}

func (h *handle) Chmod(mode fs.FileMode) error {
	done, err := h.meet(changes, "chmod")
	defer done()
	if err != nil {
		return err
	}
	h.changed()
	return h.File.Chmod(mode)
}

// Sync makes durable what the model knows. The real disk is spared.
func (h *handle) Sync() error {
	done, err := h.meet(space, "sync")
	defer done()
	if err != nil || h.at == nil || !h.disk.on {
		return err
	}
	if h.at.mode.IsDir() {
		h.disk.pending = Commit(h.disk.pending, h.at)
		return nil
	}
	info, err := h.File.Stat()
	if err != nil {
		return err
	}
	data, err := io.ReadAll(io.NewSectionReader(h.File, 0, math.MaxInt64))
	if err != nil {
		return err
	}
	h.at.data, h.at.mode, h.at.dirty = data, info.Mode(), false
	return nil
}

func (h *handle) Seek(offset int64, whence int) (int64, error) {
	if err := h.gone("seek"); err != nil {
		return 0, err
	}
	return h.File.Seek(offset, whence)
}

func (h *handle) Stat() (fs.FileInfo, error) {
	if err := h.gone("stat"); err != nil {
		return nil, err
	}
	return h.File.Stat()
}

func (h *handle) Close() error { return errors.Join(h.gone("close"), h.File.Close()) }

func (h *handle) gone(op string) error {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if h.disk.off {
		return &fs.PathError{Op: op, Path: h.path, Err: ErrOff}
	}
	return nil
}
