package application

import (
	"errors"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/utils/host/measure"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/state"
)

// RanFile is where the application that runs is kept, relative to the working directory of the master. It is there
// while services run, also when a master has crashed: an application.yml that cannot be read then must not end them.
const RanFile = "var/run/baetyl/application.json"

// ran is what an earlier master ran. After a boot of the machine nothing of it is left.
type ran struct {
	Boot string `json:"boot"`
	Data []byte `json:"data"` // of application.yml
}

func ranFile(path string, l log.Logger) state.File[ran] {
	return state.File[ran]{
		Path: path, What: "copy of the application that runs", Version: 1, Log: l,
		Then: "services that run are ended when application.yml cannot be read",
	}
}

// Ran returns the application that an earlier master of this boot was running when it ended without stopping it, and
// its file; ok is false when there is none.
func (a *Application) Ran() (c *app.Config, data []byte, ok bool) {
	if a.opts.Ran == "" {
		return nil, nil, false
	}
	was, err := ranFile(a.opts.Ran, a.opts.Log).Load()
	if err == nil && len(was.Data) > 0 && was.Boot == measure.BootID() {
		if c, err = app.Parse(a.opts.Ran, was.Data); err == nil {
			return c, was.Data, true
		}
	}
	if err != nil && !errors.Is(err, state.ErrDamaged) { // which is logged
		a.opts.Log.WithError(err).Warnf("cannot tell what an earlier master ran")
	}
	return nil, nil, false
}

// remember keeps data for Ran; without any it forgets what was kept.
func (a *Application) remember(data []byte) {
	if a.opts.Ran == "" {
		return
	}
	f := ranFile(a.opts.Ran, a.opts.Log)
	var err error
	if len(data) > 0 {
		err = f.Save(ran{Boot: measure.BootID(), Data: data})
	}
	if len(data) == 0 || err != nil { // better none than that of another application
		err = errors.Join(err, f.Remove())
	}
	if err != nil {
		a.opts.Log.WithError(err).
			Warnf("cannot keep which application runs; with an application.yml that cannot be read a crash would end it")
	}
}
