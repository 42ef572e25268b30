package master

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/baetyl/baetyl/keeper"
	"github.com/baetyl/baetyl/master/update"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/run"
)

// Keeper holds services and descriptors while masters come and go; keeper.Client implements it. Its methods may be
// called from any goroutine.
type Keeper interface {
	update.Keeper
	// Keep hands a descriptor to the next master, under a name.
	Keep(name string, f *os.File) error
	// Alive says that this master decides still; one that does not for a minute is killed and started again.
	Alive() error
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
	tell := func() {
		m.app.Failure()
		m.services.Inspect()
		if err := m.opts.Keeper.Alive(); err != nil {
			m.opts.Log.WithError(err).Warnf("cannot tell the keeper that this master is alive")
		}
	}
	tell()
	return run.Every(ctx, aliveInterval, tell)
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
	} else {
		l.Infof("master stopped")
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
