package master

import (
	"cmp"
	"context"
	"io"
	"path/filepath"

	"github.com/baetyl/baetyl/master/application"
	"github.com/baetyl/baetyl/master/bundle"
	"github.com/baetyl/baetyl/master/doctor"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/file"
)

// BundleOptions are those of a support bundle of workdir in which no master runs. config is the path of conf.yml.
func BundleOptions(cfg Config, workdir, config, version, revision string) bundle.Options {
	c, _, _ := application.Choose(file.OS, workdir) // what would run; of a bad one, what the files say
	o := bundle.Options{
		Workdir: workdir, Config: config, OTALog: inDir(workdir, cfg.OTALog.Path), Version: version, Revision: revision,
		Mode: cfg.Mode, Application: c,
	}
	if cfg.Logger.Path != "" {
		o.LogFile = inDir(workdir, cfg.Logger.Path)
	}
	return o
}

// Bundle writes a support bundle to w. masterapi.ErrCollecting: one, or a backup, is made already.
func (m *Master) Bundle(ctx context.Context, w io.Writer) error {
	if !m.collecting.TryLock() {
		return masterapi.ErrCollecting
	}
	defer m.collecting.Unlock()
	o := BundleOptions(m.cfg, m.opts.Workdir, m.config(), m.opts.Version, m.opts.Revision)
	o.Events, _ = m.events.Since(0)
	o.Mode, o.Inspect, o.Examination = m.engine.Name(), m.Inspect(), m.Examine(ctx, false)
	o.Application, _ = m.app.Current()
	made, err := bundle.Write(ctx, w, o)
	if err != nil {
		m.opts.Log.WithError(err).Warnf("support bundle failed")
		return err
	}
	m.opts.Log.WithField("files", len(made.Files)).WithField("redacted", made.Redacted).Infof("support bundle collected")
	return nil
}

// Examination are the options of a doctor for workdir in which no master runs. config is the path of conf.yml, err why
// it cannot be used; advice is what services cannot have, and e an engine that runs nothing, nil: there is none.
func Examination(cfg Config, err error, workdir, config string, advice []string, e engine.Engine) doctor.Options {
	c, _, appErr := application.Choose(file.OS, workdir)
	o := doctor.Options{
		Workdir: workdir, Mode: cfg.Mode, Socket: cfg.Socket(workdir), Admin: filepath.Join(workdir, masterapi.AdminSocket),
		Config: config, OTALog: inDir(workdir, cfg.OTALog.Path), ConfigErr: err, Application: c, ApplicationErr: appErr,
		Advice: advice,
	}
	if x, ok := e.(engine.Examiner); ok {
		o.Engine = func(ctx context.Context) []masterapi.Finding {
			var images []string
			for _, s := range c.Services {
				images = append(images, s.Image)
			}
			return x.Examine(ctx, images)
		}
	} else if e != nil {
		o.Engine = func(context.Context) []masterapi.Finding { return nil }
	}
	return o
}

// Examine returns what is wrong with the device, and what is not; network: checks may reach for the network.
func (m *Master) Examine(ctx context.Context, network bool) masterapi.Examination {
	c, _ := m.app.Current()
	o := Examination(m.cfg, nil, m.opts.Workdir, m.config(), append(m.cfg.Advice(), Warnings(c, m.engine)...), m.engine)
	o.Application, o.Mode, o.Program, o.Inspect, o.Network = c, m.engine.Name(), m.opts.Program, m.Inspect(), network
	return doctor.Examine(ctx, o)
}

// config is the absolute path of conf.yml.
func (m *Master) config() string {
	return inDir(m.opts.Workdir, cmp.Or(m.opts.Config, ConfigFile))
}
