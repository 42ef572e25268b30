package update

import (
	"time"

	"github.com/baetyl/baetyl/master/history"
	"github.com/baetyl/baetyl/master/ota"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// results are those of the history, by the step that an update of an application ends with.
var results = map[string]string{
	masterapi.StepUpdated:    masterapi.ResultRunning,
	masterapi.StepRolledBack: masterapi.ResultRolledBack,
	masterapi.StepFailure:    masterapi.ResultFailed,
}

// finish ends an update in the history, then in the log: after a kill in between the history knows it already. size is
// that of its application.yml, 0 where only the history can tell.
func (u *Updater) finish(a ota.Update, size int, step string, cause error) {
	if a.Type == masterapi.UpdateApp && a.SHA256 != "" {
		if a.Began.IsZero() { // a version before has accepted it
			a.Began = time.Now().UTC()
		}
		e := history.Entry{HistoryEntry: masterapi.HistoryEntry{
			Began: a.Began, Result: results[step], By: a.By, Trace: a.Trace, Revert: a.Revert, Version: a.Version,
			SHA256: a.SHA256, Size: size,
		}}
		if cause != nil {
			e.Reason = cause.Error()
		}
		if step == masterapi.StepUpdated {
			e.Images = u.app.Images().Running
		}
		u.history.End(e, time.Now().UTC())
	}
	u.end(a, step, cause)
}

// found adds to the history what a start runs, where nobody has asked for it.
func (u *Updater) found(c *app.Config, data []byte) {
	e := history.Entry{Images: u.app.Images().Running}
	if len(data) > 0 {
		e.SHA256, e.Size, e.Version = digest(data), len(data), c.Version
	}
	u.history.Found(e, data, time.Now().UTC())
}

// History is what has run. It is empty until Run has begun.
func (u *Updater) History() *history.History { return u.history }
