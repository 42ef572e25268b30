package master

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/fault"
	"github.com/baetyl/baetyl/master/ota"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/file"
)

// runApplication starts the application, applies updates one after the other, and stops everything when ctx ends, or when another
// binary is to take over. It is the only goroutine that changes which services there are.
func (m *Master) runApplication(ctx context.Context) error {
	m.hardware.Get() // so that the first who asks finds something
	if err := m.boot(ctx); err != nil {
		return errors.Join(err, m.stop(m.services.Names()...))
	}
	m.turn <- struct{}{}
	for {
		select {
		case <-ctx.Done():
			return m.stop(m.services.Names()...)
		case u := <-m.updates:
			if u.Type == masterapi.UpdateMaster {
				m.step(u.Update, masterapi.StepRestarting, "the master restarts to try its new binary", nil)
				fault.At("restarting")
				return m.stop(m.services.Names()...)
			}
			m.update(ctx, u)
			m.turn <- struct{}{}
		}
	}
}

// How long boot waits for first starts before it goes on: all together, and each at least.
const (
	bootPatience = 30 * time.Second
	minPatience  = time.Second
)

// boot starts the application on disk. Whatever is wrong with it, the master stays up and says so; an error means that this binary
// was on trial and is not wanted.
func (m *Master) boot(ctx context.Context) error {
	if err := m.services.Reap(ctx); err != nil {
		m.opts.Log.WithError(err).Errorf("end what an earlier master left")
	}
	if m.opts.Trial == nil { // what waits there now has been given up, or never accepted
		if err := m.opts.Binary.Discard(); err != nil {
			m.opts.Log.WithError(err).Warnf("tidy up after an update")
		}
	}
	pending, err := m.ledger.Pending()
	if err != nil {
		m.opts.Log.WithError(err).Errorf("how the last update went is not known")
	}
	c, data, err := m.load()
	m.note(err)
	m.setConf(c, data)
	order, err := app.Order(c.Services)
	if err != nil {
		m.note(err) // not reached: load has validated it
		return nil
	}
	patient := time.Now().Add(bootPatience)
	for _, s := range order {
		if ctx.Err() != nil {
			return nil
		}
		// The supervisor goes on with a start that takes longer, as that of an image which is being pulled.
		bounded, cancel := context.WithTimeout(ctx, max(time.Until(patient), minPatience))
		_ = m.services.Start(bounded, serviceOf(c, s)) // logged and tried again by the supervisor, shown by inspect
		cancel()
	}
	m.opts.Log.WithField("version", c.Version).Infof("application started, services: %d", len(c.Services))
	if m.opts.Trial != nil {
		if err := m.opts.Trial(ctx); err != nil {
			return err
		}
	}
	if pending != nil {
		m.settle(*pending)
	}
	return nil
}

// settle ends an update that an earlier process has begun: files say how it went.
func (m *Master) settle(u ota.Update) {
	done := u.Failed == "" && m.isInPlace(u)
	if done {
		m.end(u, masterapi.StepUpdated, nil)
		return
	}
	cause := errors.New("the master ended before the update had; what was before is put back")
	if u.Failed != "" {
		cause = errors.New(u.Failed)
	}
	err := fmt.Errorf("update of type %s: %w", u.Type, cause)
	m.mu.Lock()
	broken := m.failure
	m.mu.Unlock()
	if broken == "" {
		m.note(err)
	} else {
		m.note(errors.Join(err, errors.New(broken)))
	}
	m.end(u, masterapi.StepRolledBack, err)
}

// isInPlace tells whether the candidate of u has become what is in charge.
func (m *Master) isInPlace(u ota.Update) bool {
	path := filepath.Join(m.opts.Workdir, AppFile)
	if u.Type == masterapi.UpdateMaster {
		path = string(m.opts.Binary)
	}
	sum, err := file.SHA256(path)
	return err == nil && sum == u.SHA256
}

// load reads the application. A backup means that an update was not finished: the application before it is put back, unless
// the backup is the one that is damaged.
func (m *Master) load() (c *app.Config, data []byte, err error) {
	path, backup := filepath.Join(m.opts.Workdir, AppFile), filepath.Join(m.opts.Workdir, backupFile)
	if _, err := os.Lstat(backup); err == nil {
		if _, err := app.Load(backup); err == nil {
			m.opts.Log.Warnf("an update was not finished; the application before it is put back")
			if err := rename(backup, path); err != nil {
				return &app.Config{}, nil, fmt.Errorf("put back application: %w", err)
			}
		} else {
			m.opts.Log.WithError(err).Warnf("the backup of an unfinished update is damaged and is moved aside")
			if err := rename(backup, backup+damaged); err != nil {
				return &app.Config{}, nil, fmt.Errorf("move damaged backup aside: %w", err)
			}
		}
	}
	if data, err = conf.ReadFile(path); errors.Is(err, fs.ErrNotExist) {
		return &app.Config{}, nil, nil // an empty application (Baetyl Design)
	}
	if err == nil {
		c, err = app.Parse(path, data)
	}
	if err != nil {
		return &app.Config{}, nil, fmt.Errorf("load application: %w", err)
	}
	return c, data, nil
}

func rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return file.SyncDir(filepath.Dir(to))
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

func (m *Master) setConf(c *app.Config, data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.conf, m.data = c, data
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
