package master

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/baetyl/baetyl/keeper"
	"github.com/baetyl/baetyl/master/update"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/log"
)

// Keeper holds services and descriptors while masters come and go; keeper.Client implements it. Its methods may be
// called from any goroutine.
type Keeper interface {
	update.Keeper
	// Keep hands a descriptor to the next master, under a name.
	Keep(name string, f *os.File) error
	// Alive says that this master decides still, and how things are; one that does not for a minute is killed and started
	// again.
	Alive(h keeper.Health) error
	// Leave says that this master ends soon, and wants a successor.
	Leave(why string) error
	// Stopped says that everything has ended: the keeper ends with this master.
	Stopped(why string) error
}

// tries is what the updater sees of the keeper.
type tries struct{ m *Master }

func (t tries) Try(candidate keeper.Trial) error {
	err := t.m.opts.Keeper.Try(candidate)
	t.m.plain = candidate.Plain && err == nil
	return err
}

// Ending is why Run is to end: the cause of its context (context.WithCancelCause). Any other cause stops everything.
type Ending struct {
	Why   string // a signal or a command, for the log
	Leave bool   // services go on, and the keeper starts another master; without a keeper they stop
}

func (e Ending) Error() string { return e.Why }

// ending returns why ctx has ended.
func ending(ctx context.Context) Ending {
	var e Ending
	if cause := context.Cause(ctx); cause != nil && !errors.As(cause, &e) {
		e.Why = cause.Error()
	}
	return e
}

// aliveInterval is how often a master tells its keeper that it decides still.
const aliveInterval = 10 * time.Second

// alive tells the keeper again and again that this master decides still, until ctx ends. It takes the locks that every
// decision takes, so that a master in which one is never released is found. It waits for no measurement.
func (m *Master) alive(ctx context.Context) error {
	if m.opts.Keeper == nil {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(aliveInterval)
	defer tick.Stop()
	for begun := m.begun; ; {
		if err := m.opts.Keeper.Alive(m.health()); err != nil {
			m.opts.Log.WithError(err).Warnf("cannot tell the keeper that this master is alive")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-begun:
			begun = nil // once
		}
	}
}

// health is how things are, for the manager of services of this host.
func (m *Master) health() keeper.Health {
	failure := m.app.Failure()
	services := m.services.Statuses(false)
	failing := 0
	for _, s := range services {
		if s.Error != "" {
			failing++
		}
	}
	h := keeper.Health{Text: fmt.Sprintf("services: %d, failing: %d", len(services), failing)}
	if failure != "" {
		h.Text += "; there is an error in the application: see inspect"
	}
	select {
	case <-m.begun:
		h.Started = true
	default:
		h.Text = "the application starts: " + h.Text
	}
	return h
}

// stays tells whether services go on when this master ends: they stop only when somebody wants that, or when nobody
// would be left to hold them. err is that of the updater.
func (m *Master) stays(ctx context.Context, err error) bool {
	switch {
	case m.opts.Keeper == nil:
		return false
	case errors.Is(err, update.ErrRejected) && m.opts.HasParent: // the keeper is rejected too
		return false
	}
	return ctx.Err() == nil || ending(ctx).Leave
}

// reasonOf is why as a field of an event.
func reasonOf(why string) map[string]string {
	if why == "" {
		return nil
	}
	return map[string]string{masterapi.FieldReason: why}
}

// farewell says in the log, and to the keeper, why this master has ended. left tells that services go on; handed, that
// the keeper knows of a successor already.
func (m *Master) farewell(ctx context.Context, left, handed bool, failed error) {
	why := ending(ctx).Why
	switch {
	case handed:
		why = "the new master is tried"
	case why == "" && failed != nil:
		why = failed.Error()
	}
	l := m.opts.Log.WithField(log.KeyReason, why)
	if left {
		l.Infof("master ends, services go on")
		m.events.Add(masterapi.EventMasterLeaves, "", "", "master ends, services go on", reasonOf(why))
	} else {
		l.Infof("master stopped")
		m.events.Add(masterapi.EventMasterStops, "", "", "master stopped", reasonOf(why))
	}
	var err error
	switch k := m.opts.Keeper; {
	case k == nil, handed:
	case !left:
		err = k.Stopped(why)
	case failed == nil: // otherwise the keeper waits longer from time to time before it starts another one
		err = k.Leave(why)
	}
	if err != nil {
		l.WithError(err).Warnf("cannot tell the keeper that this master ends")
	}
}
