package master

import (
	"context"
	"io"
	"os"

	"github.com/baetyl/baetyl/master/application"
	"github.com/baetyl/baetyl/master/backup"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/host/measure"
	"github.com/baetyl/baetyl/utils/log"
)

// BackupOptions are those of a backup of workdir in which no master runs. The caller holds its lock.
func BackupOptions(cfg Config, workdir, version, revision string, logs bool) backup.Options {
	return backup.Options{
		Workdir: workdir, Mode: cfg.Mode, Version: version, Revision: revision, HostID: measure.ID(), Logs: logs,
		Application: func() *app.Config {
			c, _, _ := application.Choose(file.OS, workdir) // what would run; of a bad one, what the files say
			return c
		},
		Log: log.Discard(),
	}
}

// Backup writes a backup of the device to w. Services are frozen for a moment. masterapi.ErrCollecting: another one
// is made; ErrBusy: an update runs.
func (m *Master) Backup(ctx context.Context, w io.Writer, r masterapi.BackupRequest) error {
	if !m.collecting.TryLock() {
		return masterapi.ErrCollecting
	}
	defer m.collecting.Unlock()
	o := BackupOptions(m.cfg, m.opts.Workdir, m.opts.Version, m.opts.Revision, r.Logs)
	o.Mode, o.Log = m.engine.Name(), m.opts.Log
	o.Application = func() *app.Config {
		c, _ := m.app.Current()
		return c
	}
	o.Freeze, o.Hold = m.services, m.updater.Hold
	made, err := backup.Write(ctx, w, o)
	l := m.opts.Log.WithField("files", made.Files()).WithField("bytes", made.Bytes()).
		WithField("frozen", made.Frozen.String())
	if err != nil {
		l.WithError(err).Warnf("backup failed")
		return err
	}
	l.Infof("backup made")
	return nil
}

// Lock makes the caller the only program that changes workdir, until it closes what is returned. An error says that a
// master runs there.
func Lock(workdir string) (io.Closer, error) {
	var none *os.File
	return lock(workdir, none)
}
