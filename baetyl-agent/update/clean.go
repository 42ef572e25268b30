package update

import (
	"context"
	"errors"

	"github.com/baetyl/baetyl/baetyl-agent/eventstore"
)

// clean removes downloaded volumes that neither the application of job, nor the running one, nor a waiting update
// needs. It removes nothing while the master carries out an update, or if another version runs by now: the next update
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
		l.WithField("version", i.Software.ConfVersion).Debugf("old volumes stay: an update or another version runs")
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
		l.WithField("path", r).Infof("old volume removed")
	}
	if err != nil { // the record of volumes still has those that are left
		l.WithError(err).Warnf("some old volumes can't be removed; next attempt after the next update")
	}
	return u.Events.Cleaned(job.OTA.Trace)
}
