package update

import (
	"context"
	"errors"

	"github.com/baetyl/baetyl/baetyl-agent/eventstore"
)

// clean removes downloaded volumes that neither the application that job brought, nor the one that runs, nor a
// waiting update needs. It runs between two updates; if the application is another one by now, the next update's end
// cleans.
func (u *Updater) clean(ctx context.Context, job eventstore.Job) error {
	i, err := u.Master.Inspect(ctx)
	if err != nil {
		return err
	}
	l := u.Log.WithField("trace", job.OTA.Trace)
	switch why := u.otaLog().idle(); {
	case errors.Is(why, errUnknown):
		l.WithError(why).Warnf("old volumes stay until the next update has ended")
		return u.Events.Cleaned(job.OTA.Trace)
	case why != nil || i.Software.ConfVersion != job.App.Version:
		l.WithField("version", i.Software.ConfVersion).Debugf("old volumes stay: another application runs, or is about to")
		return u.Events.Cleaned(job.OTA.Trace)
	}
	keep, err := u.live(ctx)
	if err != nil {
		return err
	}
	keep = append(keep, job.App.Volumes...)
	for _, j := range u.Events.Jobs() {
		if !j.Done() {
			keep = append(keep, j.OTA.Volume.Path)
		}
	}
	removed, err := u.Volumes.Clean(keep)
	for _, r := range removed {
		l.WithField("path", r).Infof("old volume is removed")
	}
	if err != nil { // the record still has what is left; the next update's end tries again
		l.WithError(err).Warnf("old volumes are left")
	}
	return u.Events.Cleaned(job.OTA.Trace)
}
