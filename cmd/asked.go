package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	"github.com/baetyl/baetyl/keeper"
	"github.com/baetyl/baetyl/master"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/logfile"
)

// asked is what others ask of this master, by a signal or through its keeper.
type asked struct {
	end    context.CancelCauseFunc // of the context of Master.Run
	reload chan struct{}           // has one slot: a request that comes while one waits is dropped, that one serves it too
}

// signals are those that this master acts on. The others have their default action: the keeper starts another master.
var signals = []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP}

// listen begins to act on signals at once, so that one that comes during start-up stops what has been started, as
// later. k is the keeper, nil without one: when it is gone this process ends at once, as what it has held does. stop
// ends it.
func (a asked) listen(k *keeper.Client) (stop func()) {
	var events <-chan keeper.Event
	var lost <-chan struct{}
	if k != nil {
		events, lost = k.Events(), k.Lost()
	}
	caught := make(chan os.Signal, 8) // more are dropped: each is one of four
	signal.Notify(caught, signals...)
	// A console that is closed is no reason to stop services. It is not ignored, since programs inherit that.
	closed := make(chan os.Signal, 1)
	signal.Notify(closed, syscall.SIGPIPE)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			case s := <-caught:
				a.signal(s)
			case e := <-events:
				a.event(e)
			case <-lost:
				fmt.Fprintln(logfile.LastWords{}, "baetyl: the keeper is gone, and what it has held")
				os.Exit(1)
			}
		}
	}()
	return func() {
		close(done)
		<-ended
		signal.Stop(caught)
	}
}

func (a asked) signal(s os.Signal) {
	switch s {
	case syscall.SIGHUP:
		a.event(keeper.Event{Kind: keeper.EventReload})
	default:
		a.event(keeper.Event{Kind: keeper.EventStop, Why: name(s)})
	}
}

func (a asked) event(e keeper.Event) {
	switch e.Kind {
	case keeper.EventReload:
		select {
		case a.reload <- struct{}{}:
		default:
		}
	case keeper.EventStop:
		if strings.Contains(e.Why, name(syscall.SIGQUIT)) {
			fmt.Fprintf(logfile.LastWords{}, "goroutines at %s:\n%s\n", name(syscall.SIGQUIT), goroutines())
		}
		a.end(master.Ending{Why: e.Why})
	case keeper.EventLeave:
		a.end(master.Ending{Why: e.Why, Leave: true})
	}
}

// name is that of a signal as people write it.
func name(s os.Signal) string {
	for n, known := range map[string]os.Signal{
		"SIGTERM": syscall.SIGTERM, "SIGINT": syscall.SIGINT, "SIGQUIT": syscall.SIGQUIT, "SIGHUP": syscall.SIGHUP,
	} {
		if s == known {
			return n
		}
	}
	return s.String()
}

// goroutines is where every goroutine stands, cut after 1 MB.
func goroutines() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}

// restart ends this master, and lets its keeper start another one.
func (a asked) restart(who string) error {
	a.end(master.Ending{Why: who, Leave: true})
	return nil
}

// stop lets the keeper end everything, which tells this master and the manager of services; without a keeper this
// master ends itself.
func (a asked) stop(k *keeper.Client) func(who string) error {
	return func(who string) error {
		if k != nil {
			if err := k.Stop(who); !errors.Is(err, syscall.ENOSYS) { // of a keeper of a version before
				return err
			}
		}
		a.end(master.Ending{Why: who})
		return nil
	}
}

// reloads lets m read its configuration again, until ctx ends, and tells the keeper k when that is done.
func (a asked) reloads(ctx context.Context, m *master.Master, k *keeper.Client, l log.Logger) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.reload:
			if _, err := m.Reload(); err != nil {
				l.WithError(err).Errorf("the configuration stays as it is")
			}
			if k == nil {
				continue
			}
			if err := k.Reloaded(); err != nil && !errors.Is(err, syscall.ENOSYS) { // as above
				l.WithError(err).Warnf("cannot tell the keeper that the configuration was read")
			}
		}
	}
}
