package update

import (
	"errors"
	"strings"

	"github.com/baetyl/baetyl/master/application"
	"github.com/baetyl/baetyl/master/history"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// Plan says what an update to an application would do, and changes nothing. masterapi.ErrRefused: it is no application.
// What else an update would be refused for is in the answer.
func (u *Updater) Plan(r masterapi.PlanRequest, by masterapi.By) (masterapi.Plan, error) {
	c, err := u.candidate(r.Application, r.Path)
	if err != nil {
		return masterapi.Plan{}, err
	}
	to, err := parse(c)
	if err != nil {
		return masterapi.Plan{}, err
	}
	running, _ := u.app.Current()
	out, err := application.Explain(running, to, c.data)
	if err != nil {
		return out, err
	}
	out.Errors = append(out.Errors, u.opts.Rules(to)...)
	if lost := lostWay(running, to, by.Service); lost != "" {
		out.Errors = append(out.Errors, strings.TrimSuffix(lost, forceText)+"; --force takes it all the same")
	}
	out.Warnings = u.app.Check(to)
	if u.app.HasImages() {
		out.Warnings = append(out.Warnings,
			"images are looked up when the update begins: a service whose image is another one by then starts anew, too")
	}
	stopped := u.app.Stopped()
	for i, s := range out.Services {
		if s.Action == masterapi.ActionPlanKeep {
			out.Services[i].Stopped = stopped[s.Name]
		}
	}
	return out, nil
}

// Details returns an entry of the history, and what it has changed.
func (u *Updater) Details(number int) (masterapi.HistoryDetails, error) {
	e, err := u.history.Get(number)
	out := masterapi.HistoryDetails{HistoryEntry: e.HistoryEntry}
	if err != nil {
		return out, err
	}
	before, was := history.Entry{}, &app.Config{}
	if b, ok := u.history.Before(e.Number); ok {
		before = b
		if was, _, err = u.kept(b); err != nil {
			return out, ignore(err)
		}
	}
	is, data, err := u.kept(e)
	if err != nil {
		return out, ignore(err)
	}
	p, err := application.Explain(was, is, data)
	out.Before, out.Plan = before.Number, &p
	return out, err
}

// kept is the application of an entry.
func (u *Updater) kept(e history.Entry) (*app.Config, []byte, error) {
	data, err := u.history.Text(e)
	if err != nil {
		return nil, nil, err
	}
	c, err := parse(candidate{"application.yml", data})
	return c, data, err
}

// ignore drops an error of what is not kept any more, or is no application for this version.
func ignore(err error) error {
	if errors.Is(err, history.ErrNotKept) || errors.Is(err, masterapi.ErrRefused) {
		return nil
	}
	return err
}
