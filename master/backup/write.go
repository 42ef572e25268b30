package backup

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// writer writes an archive.
type writer struct {
	o     Options
	head  Head
	gz    *gzip.Writer
	tar   *tar.Writer
	names *names
	have  map[string]had // files in the archive, by path: the last of each
	begun bool
}

// had is a file in the archive.
type had struct {
	stamp stamp
	at    time.Time // before it was read
	size  int64
	sum   string
}

// Write writes a backup of the device to w, and returns its manifest. Services that run are frozen for a moment near
// the end, never while w is written. The error of a backup that cannot be made says what to do; then w has no manifest.
func Write(ctx context.Context, w io.Writer, o Options) (Manifest, error) {
	gz, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		return Manifest{}, err
	}
	host, _ := os.Hostname() // for people
	b := &writer{o: o, gz: gz, tar: tar.NewWriter(gz), names: newNames(), have: map[string]had{}}
	b.head = Head{
		Format: Format, Made: time.Now().UTC(), Version: o.Version, Revision: o.Revision,
		Platform: platform(), Host: host, HostID: o.HostID, Mode: o.Mode, Workdir: o.Workdir,
	}
	m, err := b.write(ctx)
	if err == nil {
		return m, nil
	}
	err = fmt.Errorf("back up %s: %w", o.Workdir, err)
	if b.begun { // whoever reads has got an answer already: the reason is the last of it
		_ = errors.Join(b.json(errorName, masterapi.Error{Code: "failed", Message: err.Error()}), b.tar.Close(), b.gz.Close())
	}
	return Manifest{}, err
}

func (b *writer) write(ctx context.Context) (Manifest, error) {
	for n := range maxPasses {
		p, err := walk(b.o, b.names)
		if err != nil {
			return Manifest{}, err
		}
		if n == 0 {
			b.begun = true
			if err := b.json(headName, b.head); err != nil {
				return Manifest{}, err
			}
		} else if b.missing(p) <= fewBytes {
			break
		}
		if err := b.live(ctx, p); err != nil {
			return Manifest{}, err
		}
		if b.o.Freeze == nil {
			break
		}
	}
	m, err := b.still(ctx)
	if err != nil {
		return Manifest{}, err
	}
	if err := b.json(manifestName, m); err != nil {
		return Manifest{}, err
	}
	return m, errors.Join(b.tar.Close(), b.gz.Close())
}

// needs tells whether the archive has not got the file as it is now.
func (b *writer) needs(name string, s stamp) bool {
	h, ok := b.have[name]
	return !ok || h.stamp != s || !s.sure(h.at)
}

// missing is how many bytes of files the archive has not got.
func (b *writer) missing(p *pass) (n int64) {
	for name, s := range p.stamps {
		if b.needs(name, s) {
			n += s.size
		}
	}
	return n
}

// live writes files as they are, while services write them.
func (b *writer) live(ctx context.Context, p *pass) error {
	for _, e := range p.entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if e.Kind != KindFile || !b.needs(e.Path, p.stamps[e.Path]) {
			continue
		}
		if err := b.file(p, e.Path, b.tar); err != nil {
			return err
		}
	}
	return nil
}

// file copies a file into t. One that has been removed is none; one that grows is cut where it was, and one that has
// become shorter is filled with zeros: both have changed, and come again.
func (b *writer) file(p *pass, name string, t *tar.Writer) error {
	f, err := p.open(name)
	if errors.Is(err, fs.ErrNotExist) {
		delete(b.have, name)
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer f.Close()
	at := time.Now()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if !info.Mode().IsRegular() {
		return nil // it has been replaced
	}
	size := info.Size()
	head := &tar.Header{
		Name: filesDir + name, Typeflag: tar.TypeReg, Size: size, Mode: int64(unixMode(info.Mode())),
		ModTime: info.ModTime().Truncate(time.Second), Format: tar.FormatPAX,
	}
	if err := t.WriteHeader(head); err != nil {
		return err
	}
	sum := sha256.New()
	out := io.MultiWriter(t, sum)
	n, err := io.Copy(out, io.LimitReader(f, size))
	if err != nil {
		return fmt.Errorf("copy %s: %w", name, err)
	}
	if n < size {
		if _, err := io.Copy(out, io.LimitReader(zeros{}, size-n)); err != nil {
			return err
		}
	}
	b.have[name] = had{stampOf(info), at, size, hex.EncodeToString(sum.Sum(nil))}
	return nil
}

// still makes the files those of one moment, and returns the manifest: it copies what has changed into a spool while
// services are frozen, and lets them go on before it writes that to the archive.
func (b *writer) still(ctx context.Context) (Manifest, error) {
	if b.o.Freeze == nil {
		return b.settle(ctx, b.tar, nil)
	}
	var problem error
	for range maxTries {
		m, err := b.frozen(ctx)
		if err == nil || !errors.Is(err, ErrChanging) && !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return m, err
		}
		problem = err
		p, err := walk(b.o, b.names) // what did not fit into the time is copied while they run
		if err == nil {
			err = b.live(ctx, p)
		}
		if err != nil {
			return Manifest{}, err
		}
	}
	return Manifest{}, fmt.Errorf("%w, %d times, within %s each; stop the service that writes so much", problem, maxTries,
		maxFrozen)
}

func (b *writer) frozen(ctx context.Context) (Manifest, error) {
	out, err := spool(filepath.Join(b.o.Workdir, dataDir))
	if err != nil {
		return Manifest{}, err
	}
	defer out.Close()
	p, err := walk(b.o, b.names)
	if err != nil {
		return Manifest{}, err
	}
	if free, err := freeBytes(filepath.Join(b.o.Workdir, dataDir)); err == nil && free < uint64(b.missing(p))+spare {
		return Manifest{}, fmt.Errorf("files of %d bytes change all the time, which take as much room for a moment, and %d "+
			"bytes are free; free some, or stop the service that writes them", b.missing(p), free)
	}
	if b.o.Hold != nil {
		release, err := b.o.Hold(ctx)
		if err != nil {
			return Manifest{}, err
		}
		defer release()
	}
	before := maps.Clone(b.have)
	m, err := b.hold(ctx, out)
	if err != nil {
		b.have = before // the spool is lost
		return Manifest{}, err
	}
	return m, b.append(out)
}

// hold is settle while services are frozen.
func (b *writer) hold(ctx context.Context, out *os.File) (Manifest, error) {
	ctx, cancel := context.WithTimeout(ctx, maxFrozen)
	defer cancel()
	began := time.Now()
	thaw, err := b.o.Freeze.Freeze(ctx)
	if err != nil {
		return Manifest{}, fmt.Errorf("freeze the services: %w", err)
	}
	thaw = sync.OnceFunc(thaw)
	defer thaw()
	deadline := time.AfterFunc(maxFrozen-time.Since(began), thaw) // also when a disk hangs
	defer deadline.Stop()
	t := tar.NewWriter(out)
	m, err := b.settle(ctx, t, func(now *pass) error {
		after, err := walk(b.o, b.names)
		if err != nil {
			return err
		}
		for name, s := range after.stamps {
			if now.stamps[name] != s && !within(logDir, name) { // which keeper and master write
				return fmt.Errorf("%w: %s", ErrChanging, name)
			}
		}
		return nil
	})
	m.Live, m.Frozen = true, time.Since(began)
	if err == nil {
		err = errors.Join(t.Flush(), ctx.Err())
	}
	return m, err
}

// settle copies what the archive has not got to t, and makes the manifest of what there is now. check, unless it is
// nil, is called at the end.
func (b *writer) settle(ctx context.Context, t *tar.Writer, check func(*pass) error) (Manifest, error) {
	p, err := walk(b.o, b.names)
	if err != nil {
		return Manifest{}, err
	}
	m := Manifest{Head: b.head, Roots: p.roots, LeftOut: p.left}
	for _, e := range p.entries {
		if err := ctx.Err(); err != nil {
			return Manifest{}, err
		}
		if e.Kind == KindFile {
			if b.needs(e.Path, p.stamps[e.Path]) {
				if err := b.file(p, e.Path, t); err != nil {
					return Manifest{}, err
				}
			}
			h, ok := b.have[e.Path]
			if !ok {
				continue
			}
			e.Size, e.SHA256 = h.size, h.sum
		}
		m.Entries = append(m.Entries, e)
	}
	if check != nil {
		err = check(p)
	}
	return m, err
}

// append writes the entries of a spool to the archive.
func (b *writer) append(in *os.File) error {
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return err
	}
	from := tar.NewReader(in)
	for {
		h, err := from.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = b.tar.WriteHeader(h)
		}
		if err == nil {
			_, err = io.Copy(b.tar, from)
		}
		if err != nil {
			return err
		}
	}
}

// json writes v as an entry.
func (b *writer) json(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	h := &tar.Header{
		Name: name, Typeflag: tar.TypeReg, Size: int64(len(data)), Mode: 0o600, ModTime: b.head.Made.Truncate(time.Second),
	}
	if err := b.tar.WriteHeader(h); err != nil {
		return err
	}
	_, err = b.tar.Write(data)
	return err
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
