package master

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/baetyl/baetyl/master/fault"
	"github.com/baetyl/baetyl/master/ota"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/conf"
)

// accepted is an update that has been checked and written down, and waits to be carried out.
type accepted struct {
	ota.Update
	conf *app.Config // of an application
	data []byte      // of its file
}

// Update checks r and hands it over; ErrBusy when another update runs. The new application, or binary, takes over in the
// background, since the caller may be one of the services that it stops.
func (m *Master) Update(r masterapi.UpdateRequest) error {
	select {
	case <-m.turn:
	default:
		return masterapi.ErrBusy
	}
	u, err := m.accept(r)
	if err != nil {
		m.turn <- struct{}{}
		return err
	}
	m.updates <- u // has room: only who has the turn sends
	return nil
}

// accept checks a candidate completely. When it is refused, nothing was written.
func (m *Master) accept(r masterapi.UpdateRequest) (accepted, error) {
	if r.Path == "" {
		r.Path = r.File
	}
	u := accepted{Update: ota.Update{Type: r.Type, Trace: r.Trace}}
	var err error
	switch r.Type {
	case masterapi.UpdateApp, "":
		u.Type = masterapi.UpdateApp
		err = m.acceptApp(r, &u)
	case masterapi.UpdateMaster:
		err = m.acceptMaster(r, &u)
	default:
		err = refuse(fmt.Errorf("type %q is not %s or %s", r.Type, masterapi.UpdateApp, masterapi.UpdateMaster))
	}
	if err != nil {
		return u, err
	}
	if err := m.ledger.Begin(u.Update); err != nil {
		return u, errors.Join(err, m.opts.Binary.Discard())
	}
	return u, nil
}

// refuse tells that the candidate is to blame, not this device.
func refuse(err error) error { return fmt.Errorf("%w: %w", masterapi.ErrRefused, err) }

func (m *Master) acceptApp(r masterapi.UpdateRequest, u *accepted) error {
	f, err := m.openCandidate(r.Path, filepath.Base(AppFile))
	if err != nil {
		return refuse(fmt.Errorf("path: %w", err))
	}
	defer f.Close()
	if u.data, err = io.ReadAll(io.LimitReader(f, conf.MaxSize+1)); err != nil {
		return err
	}
	if len(u.data) > conf.MaxSize {
		return refuse(fmt.Errorf("%s: larger than %d bytes", f.Name(), conf.MaxSize))
	}
	sum := sha256.Sum256(u.data)
	u.SHA256 = hex.EncodeToString(sum[:])
	if err := checkDigest(r.SHA256, u.SHA256); err != nil {
		return refuse(err)
	}
	if u.conf, err = app.Parse(f.Name(), u.data); err != nil {
		return refuse(err)
	}
	return nil
}

func (m *Master) acceptMaster(r masterapi.UpdateRequest, u *accepted) error {
	if m.opts.Binary == "" {
		return refuse(errors.New("this master does not know its own program, which it would replace"))
	}
	f, err := m.openCandidate(r.Path, "bin/baetyl")
	if err != nil {
		return refuse(fmt.Errorf("path: %w", err))
	}
	defer f.Close()
	if u.SHA256, err = m.opts.Binary.Stage(f); err != nil {
		return errors.Join(fmt.Errorf("copy candidate: %w", err), m.opts.Binary.Discard())
	}
	if err = checkDigest(r.SHA256, u.SHA256); err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), m.cfg.Update.Deadline)
		defer cancel()
		err = m.opts.Binary.Check(ctx, m.opts.Workdir, m.opts.Config)
	}
	if err != nil {
		return errors.Join(refuse(err), m.opts.Binary.Discard())
	}
	fault.At("staged")
	return nil
}

func checkDigest(want, got string) error {
	if want != "" && !strings.EqualFold(want, got) {
		return fmt.Errorf("sha256: the candidate has %s, not %s", got, want)
	}
	return nil
}

// openCandidate opens the file of an update: it lies below the data folder, so that no service can name a file elsewhere, also not
// by a link that it changes meanwhile. A folder means the file called inside in it.
func (m *Master) openCandidate(path, inside string) (*os.File, error) {
	if path == "" {
		return nil, errors.New("must not be empty")
	}
	dir, err := filepath.EvalSymlinks(filepath.Join(m.opts.Workdir, dataDir))
	if err != nil {
		return nil, err
	}
	path = inDir(m.opts.Workdir, path)
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, inside)
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	below, err := filepath.Rel(dir, real)
	if err != nil || !filepath.IsLocal(below) {
		return nil, fmt.Errorf("%s is not below %s", path, dataDir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	info, err := root.Stat(below)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // to open a pipe would wait for its writer
		return nil, fmt.Errorf("%s is not a file", path)
	}
	return root.Open(below)
}
