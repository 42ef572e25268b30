// Package journal is goleveldb's file storage with two differences: the sync of a table also syncs its name, and files
// of old journals are overwritten by new journals.
//
//	journal-N.spare ──Create: new mark, rename──► NNNNNN.log ──Remove: rename──► journal-N.spare
//
// When a file grows, each sync makes the file system write its own journal too: more writes to wait for, and several
// times the wear on flash. When a file is overwritten, only its data is written. A mark, a random number for each use
// of a file, tells the data of this use from that of earlier ones:
//
//	file   magic (8) · mark (8) · frames · anything
//	frame  mark (8) · length (4) · CRC-32C of mark, length and data (4) · data
//
// The data ends at the first frame that is not complete. After a power loss there may be complete frames behind it;
// their sync had not ended, so the store has not reported them as stored. A file without the magic is a journal in
// goleveldb's own format.
package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/syndtr/goleveldb/leveldb/storage"

	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
)

// disk is goleveldb's file storage, except for journals and the names of tables.
type disk struct {
	storage.Storage
	dir       string
	spareSize int64 // bytes; larger journals are not kept as spares
	log       log.Logger

	mu     sync.Mutex
	spares []string // names of files
}

const (
	magic     = "baetylj1"
	frameHead = 16
	// growth is the number of bytes by which a journal grows at once, with zeros, so that few syncs change its size.
	growth = 128 << 10
	// spareFiles is the number of spares: goleveldb has two journals at a time.
	spareFiles = 2
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Open opens the storage in dir, or makes it. writeBuffer is the usual size in bytes of a full journal; files of up to
// four times that size are used again. l gets a warning about the damaged end of a journal. Open fails if another
// process has the storage open.
func Open(dir string, writeBuffer int64, l log.Logger) (storage.Storage, error) {
	files, err := storage.OpenFile(dir, false)
	if errors.Is(err, syscall.EAGAIN) {
		return nil, fmt.Errorf("%s is open in another process: %w", dir, err)
	}
	if err != nil {
		return nil, err
	}
	d := &disk{Storage: files, dir: dir, spareSize: 4 * writeBuffer, log: l}
	for i := range spareFiles {
		if name := fmt.Sprintf("journal-%d.spare", i); exists(filepath.Join(dir, name)) {
			d.spares = append(d.spares, name)
		}
	}
	return d, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func (d *disk) path(fd storage.FileDesc) string { return filepath.Join(d.dir, fd.String()) }

// Create implements storage.Storage.
func (d *disk) Create(fd storage.FileDesc) (storage.Writer, error) {
	if fd.Type == storage.TypeTable {
		w, err := d.Storage.Create(fd)
		return table{w, d.dir}, err
	}
	if fd.Type != storage.TypeJournal {
		return d.Storage.Create(fd)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	from := d.path(fd)
	if n := len(d.spares); n > 0 {
		from = filepath.Join(d.dir, d.spares[n-1])
		d.spares = d.spares[:n-1]
	}
	f, err := os.OpenFile(from, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	j := &journal{f: f, mark: rand.Uint64()}
	if err := j.start(from, d.path(fd)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return j, nil
}

// table is a table that is being written. Its sync includes its name, since a manifest that refers to it may be on the
// disk before goleveldb syncs the folder.
type table struct {
	storage.Writer
	dir string
}

// Sync implements storage.Syncer.
func (t table) Sync() error {
	if err := t.Writer.Sync(); err != nil {
		return err
	}
	return file.SyncDir(t.dir)
}

// Open implements storage.Storage.
func (d *disk) Open(fd storage.FileDesc) (storage.Reader, error) {
	if fd.Type != storage.TypeJournal {
		return d.Storage.Open(fd)
	}
	b, err := os.ReadFile(d.path(fd))
	if err != nil {
		return nil, err
	}
	data, cut := readJournal(b)
	if cut > 0 {
		d.log.Warnf("store %s: the end of %s is damaged, probably by a power loss: dropping %d bytes", d.dir, fd, cut)
	}
	return content{bytes.NewReader(data)}, nil
}

// content is a file that has been read.
type content struct{ *bytes.Reader }

// Close implements io.Closer.
func (content) Close() error { return nil }

// Remove implements storage.Storage.
func (d *disk) Remove(fd storage.FileDesc) error {
	if fd.Type == storage.TypeJournal && d.keep(fd) {
		return nil
	}
	return d.Storage.Remove(fd)
}

// keep makes a spare of a journal that goleveldb removes, if the size fits and a spare is missing.
func (d *disk) keep(fd storage.FileDesc) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	info, err := os.Lstat(d.path(fd))
	if err != nil || info.Size() < growth || info.Size() > d.spareSize || len(d.spares) == spareFiles {
		return false
	}
	for i := range spareFiles {
		name := fmt.Sprintf("journal-%d.spare", i)
		if !exists(filepath.Join(d.dir, name)) && os.Rename(d.path(fd), filepath.Join(d.dir, name)) == nil {
			d.spares = append(d.spares, name)
			return true
		}
	}
	return false
}

// journal is a journal that is being written. goleveldb uses it from one goroutine at a time.
type journal struct {
	f    *os.File
	mark uint64
	at   int64 // where the next frame goes
	size int64 // of the file
	buf  []byte
}

// start makes an empty journal of the file from and then renames it to to.
func (j *journal) start(from, to string) error {
	info, err := j.f.Stat()
	if err != nil {
		return err
	}
	j.size = info.Size()
	j.buf = binary.BigEndian.AppendUint64(append(j.buf, magic...), j.mark)
	if err := j.write(); err != nil {
		return err
	}
	if err := file.Datasync(j.f); err != nil {
		return err
	}
	if from != to {
		if err := os.Rename(from, to); err != nil {
			return err
		}
	}
	// Later syncs of the file do not sync its new name.
	return file.SyncDir(filepath.Dir(to))
}

// Write implements io.Writer: it adds a frame. After an error the journal is not used any more.
func (j *journal) Write(p []byte) (int, error) {
	j.buf = appendFrame(j.buf[:0], j.mark, p)
	if err := j.write(); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (j *journal) write() error {
	n, err := j.f.WriteAt(j.buf, j.at)
	j.at += int64(n)
	if err == nil && j.at > j.size {
		j.size = j.at
		// An error here, on a full disk, does not matter: the frame itself is written.
		if n, err := j.f.WriteAt(make([]byte, growth-j.at%growth), j.at); err == nil {
			j.size += int64(n)
		}
	}
	return err
}

// Sync implements storage.Syncer.
func (j *journal) Sync() error { return file.Datasync(j.f) }

// Close implements io.Closer.
func (j *journal) Close() error { return j.f.Close() }

func appendFrame(b []byte, mark uint64, data []byte) []byte {
	n := len(b)
	b = binary.BigEndian.AppendUint64(b, mark)
	b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
	sum := crc32.Update(crc32.Checksum(b[n:], castagnoli), castagnoli, data)
	b = binary.BigEndian.AppendUint32(b, sum)
	return append(b, data...)
}

// readJournal returns the data of a journal file, and the number of its bytes that are lost behind a damaged frame. It
// reuses the memory of b.
func readJournal(b []byte) (data []byte, cut int) {
	if !bytes.HasPrefix(b, []byte(magic)) {
		if bytes.HasPrefix([]byte(magic), b) || len(bytes.Trim(b[:min(len(b), frameHead)], "\x00")) == 0 {
			return nil, 0 // its start did not reach the disk
		}
		return b, 0
	}
	if len(b) < frameHead {
		return nil, 0
	}
	mark, rest := bytes.Clone(b[len(magic):frameHead]), b[frameHead:]
	data = b[:0]
	for len(rest) >= frameHead && bytes.HasPrefix(rest, mark) {
		n := int64(binary.BigEndian.Uint32(rest[8:]))
		if n > int64(len(rest)-frameHead) {
			break
		}
		body := rest[frameHead : frameHead+n]
		if crc32.Update(crc32.Checksum(rest[:12], castagnoli), castagnoli, body) != binary.BigEndian.Uint32(rest[12:]) {
			break
		}
		rest = rest[frameHead+n:]
		data = append(data, body...)
	}
	if last := bytes.LastIndex(rest, mark); last >= 0 {
		cut = min(len(rest), last+frameHead)
	}
	return data, cut
}
