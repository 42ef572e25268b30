package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	nethttp "net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/baetyl/baetyl/cmd/out"
	"github.com/baetyl/baetyl/master"
	"github.com/baetyl/baetyl/master/backup"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/utils/file"
)

// archive is a file that the master makes, or where none runs this program itself.
type archive struct {
	path  string // where it goes; -: the output
	force bool   // a file that is there is replaced
	route string // of the API
	in    any    // body of the request
	local func(ctx context.Context, dir string, w io.Writer) error
	check func(io.Reader) error // reads all of it, and tells whether it is whole
}

// save gets a whole archive to its place, or leaves nothing there.
func (e *env) save(ctx context.Context, a archive) error {
	if a.path == "-" {
		if e.Out.Terminal() != nil {
			return misused("the output is a terminal; name a file, or send the output into one")
		}
		return e.copyArchive(ctx, a, e.Out)
	}
	if info, err := os.Stat(a.path); err == nil {
		if info.IsDir() {
			return misused("%s is a folder; name a file in it", a.path)
		}
		if !info.Mode().IsRegular() { // a pipe or a device, which nothing takes the place of
			f, err := os.OpenFile(a.path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			return errors.Join(e.copyArchive(ctx, a, f), f.Close())
		}
		if !a.force {
			return misused("%s is there already; choose another name, or replace it with --force", a.path)
		}
	}
	tmp := a.path + ".tmp"
	f, err := openAlone(tmp)
	if err != nil {
		return err
	}
	err = e.copyArchive(ctx, a, f)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		if err = os.Rename(tmp, a.path); err == nil {
			return file.SyncDir(filepath.Dir(a.path))
		}
	}
	return errors.Join(err, os.Remove(tmp))
}

// openAlone opens a new file at path, for this process alone: it holds secrets. What a killed command has left there is
// replaced.
func openAlone(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("another command writes %s now; wait for it, or choose another name", path)
	}
	if err == nil {
		err = errors.Join(f.Chmod(0o600), f.Truncate(0))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// copyArchive sends the archive to w, and returns an error unless it is whole.
func (e *env) copyArchive(ctx context.Context, a archive, w io.Writer) error {
	read, write := io.Pipe()
	checked := make(chan error, 1)
	go func() {
		err := a.check(read)
		_ = read.CloseWithError(err) // ends the copying
		checked <- err
	}()
	shown := &progress{to: io.MultiWriter(write, w), say: e.Stderr, quiet: !out.IsTerminal(os.Stderr)}
	err := e.source(ctx, a, shown)
	_ = write.CloseWithError(err)
	shown.end()
	why := <-checked
	var said backup.Unfinished // the connection is broken off then, too
	if why != nil && (err == nil || errors.Is(err, why) || errors.As(why, &said)) {
		err = why
	}
	return err
}

// source writes the archive to w: the master does, or this program where none runs.
func (e *env) source(ctx context.Context, a archive, w io.Writer) error {
	if e.host.name != "" {
		return e.fetch(ctx, w)
	}
	err := e.ask(ctx, func(ctx context.Context, c *http.Client) error {
		in, err := c.Open(ctx, nethttp.MethodPost, a.route, a.in)
		if err != nil {
			return err
		}
		defer in.Close()
		_, err = io.Copy(w, in)
		return err
	})
	var none noMaster
	if !errors.As(err, &none) {
		return err
	}
	lock, err := master.Lock(none.dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	return a.local(ctx, none.dir, w)
}

// progress says how much has been written.
type progress struct {
	to    io.Writer
	say   io.Writer
	quiet bool // no person looks
	n     int64
	said  time.Time
}

func (p *progress) Write(b []byte) (int, error) {
	n, err := p.to.Write(b)
	p.n += int64(n)
	if !p.quiet && time.Since(p.said) > 200*time.Millisecond {
		p.said = time.Now()
		fmt.Fprintf(p.say, "\r%d MB", p.n>>20)
	}
	return n, err
}

func (p *progress) end() {
	if !p.quiet && !p.said.IsZero() {
		fmt.Fprint(p.say, "\r\x1b[K")
	}
}
