package application

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/state"
)

// LastFile is the copy of the last good application, relative to the working directory of the master: what
// application.yml said when a start has read it, or an update has put it there for good. It is replaced, and never
// removed.
const LastFile = "var/db/baetyl/application.last"

// last is the content of LastFile.
type last struct {
	Data []byte `json:"data"` // of application.yml
}

func lastFile(d file.Disk, workdir string, l log.Logger) state.File[last] {
	return state.File[last]{
		Path: filepath.Join(workdir, LastFile), What: "copy of the last good application", Version: 1, Disk: d, Log: l,
		Then: "without it nothing runs when application.yml is bad; the next good one is kept again",
	}
}

// errNoLast says that no application has been good yet.
var errNoLast = errors.New("no application has been good here before")

// ReadLast returns the last good application, and what its file said. It changes nothing.
func ReadLast(d file.Disk, workdir string) (*app.Config, []byte, error) {
	f := lastFile(d, workdir, log.Discard())
	kept, err := f.Peek()
	switch {
	case err == nil && len(kept.Data) == 0:
		if kept.Data, err = ranBefore(d, workdir); len(kept.Data) == 0 {
			return nil, nil, errors.Join(errNoLast, err)
		}
	case err != nil:
		return nil, nil, err
	}
	c, err := app.Parse(f.Path, kept.Data)
	if err != nil {
		return nil, nil, err
	}
	return c, kept.Data, nil
}

// Choose returns what a start of the master in workdir runs, and what its file says. That is application.yml, or an
// empty application where there is none. When application.yml is bad, err says how and what is taken in its place: the
// last good one, or nothing, then without data. It changes nothing.
func Choose(d file.Disk, workdir string) (c *app.Config, data []byte, err error) {
	path := filepath.Join(workdir, File)
	c, data, err = Read(d, path)
	if err == nil && data != nil {
		if _, was, none := ReadLast(d, workdir); none == nil && isCutOff(c, data, was) {
			const text = "load application: %s: is cut off after %d of the %d bytes that it had; put the whole file there, " +
				"or end its last line if it is meant to end there"
			err = fmt.Errorf(text, path, len(data), len(was))
		}
	}
	if err == nil {
		return c, data, nil
	}
	return Instead(d, workdir, err)
}

// Instead is Choose when application.yml cannot be used because of cause.
func Instead(d file.Disk, workdir string, cause error) (*app.Config, []byte, error) {
	c, data, err := ReadLast(d, workdir)
	if err != nil {
		return &app.Config{}, nil, fmt.Errorf("%w; nothing runs, since there is no last good application: %w", cause, err)
	}
	const text = "%w; the last good application (version %q, kept in %s) runs until the file is mended, and the master " +
		"restarted, or an update replaces it"
	return c, data, fmt.Errorf(text, cause, c.Version, LastFile)
}

// keep makes data, which c was read from, the last good application. One that is kept already is not written again. On
// a full disk the one before stays.
func (a *Application) keep(c *app.Config, data []byte) {
	if a.opts.Workdir == "" || len(data) == 0 {
		return
	}
	f := lastFile(a.opts.Disk, a.opts.Workdir, a.opts.Log)
	kept, err := f.Load()
	if errors.Is(err, state.ErrDamaged) { // which is logged
		err = nil
	}
	if err == nil && !bytes.Equal(kept.Data, data) {
		err = f.Save(last{data})
	}
	if err == nil {
		err = forgetRan(a.opts.Disk, a.opts.Workdir)
	}
	if err != nil {
		a.opts.Log.WithError(err).
			Warnf("cannot keep a copy of the application; if application.yml is lost, the one before runs, or nothing")
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.last = c
}

// Tidy removes what an interrupted write of the copy has left.
func (a *Application) Tidy() error {
	if a.opts.Workdir == "" {
		return nil
	}
	return lastFile(a.opts.Disk, a.opts.Workdir, a.opts.Log).Tidy()
}
