package logfile

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	backupStamp = "2006-01-02T15-04-05.000" // in the names of rotated files, UTC
	gzipped     = ".gz"
	unfinished  = ".gz.part"
	// settling is how long a rotated file may still get lines, from a File of another process or another part of this one.
	settling = 2 * time.Second
)

// compressing holds one: a compressor needs almost 1 MiB, and the keeper has to be small.
var compressing = make(chan struct{}, 1)

// backups are the rotated files of a log. One goroutine at a time compresses and removes them.
type backups struct {
	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu    sync.Mutex
	busy  bool
	again *job // asked for meanwhile
}

type job struct {
	path   string
	limits Limits
}

func newBackups() *backups {
	b := &backups{}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b
}

func (b *backups) close() {
	b.cancel()
	b.work.Wait()
}

// name returns a name for the file at path that no other file has.
func (*backups) name(path string, now time.Time) string {
	ext := filepath.Ext(path)
	for ; ; now = now.Add(time.Millisecond) {
		name := strings.TrimSuffix(path, ext) + "-" + now.UTC().Format(backupStamp) + ext
		_, err := os.Lstat(name)
		_, err2 := os.Lstat(name + gzipped)
		if os.IsNotExist(err) && os.IsNotExist(err2) || now.Year() > 9000 {
			return name
		}
	}
}

// clean compresses the rotated files of the log at path and removes what is too old or too many. It does not wait for
// that.
func (b *backups) clean(path string, l Limits) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.again = (&job{path, l}); b.busy || b.ctx.Err() != nil {
		return
	}
	b.busy = true
	b.work.Go(func() {
		for {
			b.mu.Lock()
			j := b.again
			b.again, b.busy = nil, j != nil
			b.mu.Unlock()
			if j == nil {
				return
			}
			b.do(*j)
		}
	})
}

func (b *backups) do(j job) {
	if path, err := resolve(j.path, j.limits.NoLink); err == nil {
		j.path = path
	}
	all, parts, err := rotated(j.path)
	if err != nil {
		return
	}
	for _, part := range parts {
		_ = os.Remove(part)
	}
	for n, x := range all {
		switch {
		case j.limits.Backups > 0 && n >= j.limits.Backups, j.limits.Age > 0 && time.Since(x.at) > j.limits.Age:
			_ = os.Remove(x.path)
		case !strings.HasSuffix(x.path, gzipped):
			if !b.wait(settling-time.Since(x.at)) || b.compress(x.path) != nil {
				return // the next rotation tries again
			}
		}
	}
}

// wait reports false when the log is closed.
func (b *backups) wait(d time.Duration) bool {
	if d <= 0 || d > settling { // longer: the clock was set back
		return b.ctx.Err() == nil
	}
	select {
	case <-time.After(d):
		return true
	case <-b.ctx.Done():
		return false
	}
}

// compress replaces a file by its compressed form.
func (b *backups) compress(path string) (err error) {
	select {
	case compressing <- struct{}{}:
		defer func() { <-compressing }()
	case <-b.ctx.Done():
		return b.ctx.Err()
	}
	from, err := os.OpenFile(path, os.O_RDONLY|noFollow, 0)
	if err != nil {
		return err
	}
	defer from.Close()
	info, err := from.Stat()
	if err != nil {
		return err
	}
	part := strings.TrimSuffix(path, gzipped) + unfinished
	to, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL|noFollow, 0o640)
	if err != nil {
		return err
	}
	own(to, info)
	n, err := b.gzip(to, from)
	if err == nil {
		err = to.Sync()
	}
	if err2 := to.Close(); err == nil {
		err = err2
	}
	if now, err2 := os.Stat(path); err == nil && (err2 != nil || now.Size() != n) {
		err = fmt.Errorf("compress %s: it has changed meanwhile", path)
	}
	if err == nil {
		err = os.Rename(part, path+gzipped)
	}
	if err != nil {
		_ = os.Remove(part)
		return err
	}
	return os.Remove(path)
}

// gzip returns how many bytes it has read.
func (b *backups) gzip(to io.Writer, from io.Reader) (int64, error) {
	z, err := gzip.NewWriterLevel(to, gzip.BestSpeed)
	if err != nil {
		return 0, err
	}
	n := int64(0)
	for b.ctx.Err() == nil {
		k, err := io.CopyN(z, from, batchSize)
		if n += k; errors.Is(err, io.EOF) {
			return n, z.Close()
		}
		if err != nil {
			return n, err
		}
	}
	return n, b.ctx.Err()
}

// backup is a rotated file.
type backup struct {
	path string
	at   time.Time
}

// rotated returns the rotated files of the log at path, the newest first, and what a killed process left of
// compressing.
func rotated(path string) (all []backup, parts []string, err error) {
	dir, ext := filepath.Dir(path), filepath.Ext(path)
	prefix := strings.TrimSuffix(filepath.Base(path), ext) + "-"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("find rotated files of log: %w", err)
	}
	for _, e := range entries {
		rest, ok := strings.CutPrefix(e.Name(), prefix)
		if !ok || !e.Type().IsRegular() {
			continue
		}
		if stamp, ok := strings.CutSuffix(rest, ext+unfinished); ok {
			if _, err := time.Parse(backupStamp, stamp); err == nil {
				parts = append(parts, filepath.Join(dir, e.Name()))
			}
			continue
		}
		at, err := time.Parse(backupStamp, strings.TrimSuffix(strings.TrimSuffix(rest, gzipped), ext))
		if err == nil {
			all = append(all, backup{filepath.Join(dir, e.Name()), at})
		}
	}
	slices.SortFunc(all, func(x, y backup) int { return y.at.Compare(x.at) })
	return all, parts, nil
}

// Backups returns the rotated files of the log at path, the newest first. A compressed one ends with .gz; one that does
// not may be compressed before it is opened.
func Backups(path string) (paths []string, err error) {
	all, _, err := rotated(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, b := range all {
		paths = append(paths, b.path)
	}
	return paths, err
}

// Rotated returns the newest rotated file of the log at path if it is not compressed yet; empty: there is none.
func Rotated(path string) (string, error) {
	all, _, err := rotated(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil || len(all) == 0 || strings.HasSuffix(all[0].path, gzipped) {
		return "", err
	}
	return all[0].path, nil
}
