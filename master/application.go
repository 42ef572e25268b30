package master

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/baetyl/baetyl/master/api"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
)

// candidate is an application that has been checked and waits to be applied.
type candidate struct {
	conf *app.Config
	data []byte // of its file
}

// runApplication starts the application, applies updates one after the other, and stops everything when ctx ends. It is the
// only goroutine that changes which services there are.
func (m *Master) runApplication(ctx context.Context) error {
	m.hardware.Get() // so that the first who asks finds something
	m.boot(ctx)
	for {
		select {
		case <-ctx.Done():
			return m.stop(m.services.Names()...)
		case c := <-m.updates:
			m.note(m.update(ctx, c))
		}
	}
}

// How long boot waits for first starts before it goes on: all together, and each at least.
const (
	bootPatience = 30 * time.Second
	minPatience  = time.Second
)

// boot starts the application on disk. Whatever is wrong with it, the master stays up and says so.
func (m *Master) boot(ctx context.Context) {
	if err := m.services.Reap(ctx); err != nil {
		m.opts.Log.WithError(err).Errorf("end what an earlier master left")
	}
	c, err := m.load()
	m.note(err)
	m.setConf(c)
	order, err := app.Order(c.Services)
	if err != nil {
		m.note(err) // not reached: load has validated it
		return
	}
	patient := time.Now().Add(bootPatience)
	for _, s := range order {
		if ctx.Err() != nil {
			return
		}
		// The supervisor goes on with a start that takes longer, as that of an image which is being pulled.
		bounded, cancel := context.WithTimeout(ctx, max(time.Until(patient), minPatience))
		_ = m.services.Start(bounded, serviceOf(c, s)) // logged and tried again by the supervisor, shown by inspect
		cancel()
	}
	m.opts.Log.WithField("version", c.Version).Infof("application started, services: %d", len(c.Services))
}

// load reads the application. A backup means that an update was not finished: the application before it is put back, unless
// the backup is the one that is damaged.
func (m *Master) load() (*app.Config, error) {
	path, backup := filepath.Join(m.opts.Workdir, AppFile), filepath.Join(m.opts.Workdir, backupFile)
	if _, err := os.Lstat(backup); err == nil {
		if _, err := app.Load(backup); err == nil {
			m.opts.Log.Warnf("an update was not finished; the application before it is put back")
			if err := rename(backup, path); err != nil {
				return &app.Config{}, fmt.Errorf("put back application: %w", err)
			}
		} else {
			m.opts.Log.WithError(err).Warnf("the backup of an unfinished update is damaged and is moved aside")
			if err := rename(backup, backup+".damaged"); err != nil {
				return &app.Config{}, fmt.Errorf("move damaged backup aside: %w", err)
			}
		}
	}
	c, err := app.Load(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &app.Config{}, nil // an empty application (Baetyl Design)
	}
	if err != nil {
		return &app.Config{}, fmt.Errorf("load application: %w", err)
	}
	return c, nil
}

func rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return file.SyncDir(filepath.Dir(to))
}

// Update checks r and hands it over; ErrBusy when another update runs. The new application takes over in the background,
// since the caller may be one of the services that it stops.
func (m *Master) Update(r masterapi.UpdateRequest) error {
	switch r.Type {
	case masterapi.UpdateApp, "":
	case masterapi.UpdateMaster:
		return fmt.Errorf("update of type %s %w", r.Type, api.ErrUnsupported)
	default:
		return fmt.Errorf("%w: type %q is not %s or %s", api.ErrRefused, r.Type, masterapi.UpdateApp, masterapi.UpdateMaster)
	}
	path := r.Path
	if path == "" {
		path = r.File
	}
	path, err := m.candidatePath(path)
	if err != nil {
		return fmt.Errorf("%w: path: %w", api.ErrRefused, err)
	}
	data, err := conf.ReadFile(path)
	if err != nil {
		return fmt.Errorf("%w: %w", api.ErrRefused, err)
	}
	c, err := app.Parse(path, data)
	if err != nil {
		return fmt.Errorf("%w: %w", api.ErrRefused, err)
	}
	select {
	case m.updates <- candidate{c, data}:
		return nil
	default:
		return api.ErrBusy
	}
}

// candidatePath finds the file of an update: it lies below the data folder, so that no service can name a file elsewhere. A
// folder means the application.yml in it.
func (m *Master) candidatePath(path string) (string, error) {
	if path == "" {
		return "", errors.New("must not be empty")
	}
	path = inDir(m.opts.Workdir, path)
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, filepath.Base(AppFile))
	}
	root, err := filepath.EvalSymlinks(filepath.Join(m.opts.Workdir, dataDir))
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	if !strings.HasPrefix(real, root+string(filepath.Separator)) {
		return "", fmt.Errorf("%s is not below %s", path, dataDir)
	}
	return real, nil
}

// update replaces the application by c, or leaves the old one running.
//
//	prepare ─► backup ─► swap ─► stop, start ─► remove backup
//	   │error    │          └error, or the master ends─► put the file back, stop, start
//	   ▼         ▼
//	nothing was touched
func (m *Master) update(ctx context.Context, c candidate) error {
	m.mu.Lock()
	old := m.conf
	m.mu.Unlock()
	p, err := diff(old, c.conf)
	if err != nil {
		return fmt.Errorf("update application: %w", err)
	}
	for _, s := range p.start {
		if err := m.engine.Prepare(ctx, serviceOf(c.conf, s.service)); err != nil {
			return fmt.Errorf("update application: service %s: %w", s.service.Name, err)
		}
	}
	if err := m.swap(c.data); err != nil {
		return fmt.Errorf("update application: %w", err)
	}
	backup := filepath.Join(m.opts.Workdir, backupFile)
	if err := m.change(ctx, p, c.conf, false); err != nil {
		err = fmt.Errorf("update application to version %q (the old one is put back): %w", c.conf.Version, err)
		if undo := rename(backup, filepath.Join(m.opts.Workdir, AppFile)); undo != nil {
			err = errors.Join(err, undo)
		}
		if ctx.Err() != nil {
			return err // the master ends, and starts the old application next time
		}
		back, planErr := diff(c.conf, old)
		if planErr != nil {
			return errors.Join(err, planErr)
		}
		// One that cannot start now must not keep the rest of the old application down.
		return errors.Join(err, m.change(ctx, back, old, true))
	}
	m.setConf(c.conf)
	if err := os.Remove(backup); err != nil {
		return fmt.Errorf("finish update of application: %w", err)
	}
	m.opts.Log.WithField("version", c.conf.Version).Infof("application updated")
	return file.SyncDir(filepath.Dir(backup))
}

// swap keeps the file of the running application as the backup and writes the new one. Each step is whole on disk before the
// next begins.
func (m *Master) swap(data []byte) error {
	path, backup := filepath.Join(m.opts.Workdir, AppFile), filepath.Join(m.opts.Workdir, backupFile)
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := file.WriteAtomic(backup, old, 0o644); err != nil { // an empty one: there was no application
		return err
	}
	if err := file.WriteAtomic(path, data, 0o644); err != nil {
		return errors.Join(err, os.Remove(backup))
	}
	return nil
}

// change carries a plan out. It returns at the first service that cannot start, or starts all and returns what went wrong.
func (m *Master) change(ctx context.Context, p plan, to *app.Config, all bool) error {
	names := make([]string, 0, len(p.stop))
	for _, s := range p.stop {
		m.opts.Log.WithField(log.KeyService, s.service.Name).WithField(log.KeyReason, s.reason).Infof("service is stopped for the update")
		names = append(names, s.service.Name)
	}
	errs := []error{m.stop(names...)}
	for _, s := range p.start {
		if err := errors.Join(errs...); err != nil && !all {
			return err
		}
		if err := m.services.Start(ctx, serviceOf(to, s.service)); err != nil {
			errs = append(errs, fmt.Errorf("start service %s: %w", s.service.Name, err))
		}
	}
	return errors.Join(errs...)
}

// stop stops services within the grace time, whoever waits.
func (m *Master) stop(names ...string) error {
	until, cancel := context.WithTimeout(context.Background(), m.cfg.Grace)
	defer cancel()
	return m.services.Stop(until, names...)
}

// note keeps what is wrong with the application for inspect; nil clears it.
func (m *Master) note(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failure = ""
	if err != nil {
		m.failure = err.Error()
		m.opts.Log.WithError(err).Errorf("the application is not as wanted")
	}
}

func (m *Master) setConf(c *app.Config) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.conf = c
}

// serviceOf is a service with what its definition refers to.
func serviceOf(c *app.Config, s app.Service) engine.Service {
	out := engine.Service{Service: s, Volumes: map[string]app.Volume{}, Networks: map[string]app.Network{}}
	for _, m := range s.Mounts {
		out.Volumes[m.Name] = c.Volume(m.Name)
	}
	for _, n := range s.Networks.Names() {
		out.Networks[n] = c.Networks[n]
	}
	return out
}
