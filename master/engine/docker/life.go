//go:build unix

package docker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/events"
)

const (
	lifeTimeout = 30 * time.Second // for what the daemon remembers of one container
	lifeTries   = 3                // while the daemon answers, but not that in time
	eventsKept  = 64               // by every daemon, at least (the newest keep 256); older ones are forgotten
	restartTime = time.Minute      // after an outage, within which the daemon ends what it does not keep
)

// life is what the present daemon, which forgets at its end, remembers of a container.
type life struct {
	whole     bool // nothing has been forgotten since the container began
	started   bool // this daemon has started it
	died      bool // it ended in the time of this daemon
	destroyed bool // somebody removed it
	stopped   bool // somebody stopped it: this engine, or another client
	keeps     bool // its containers run on when it ends (live-restore)
}

// lifeOf asks the daemon about a container that began at that time. One that is ending does not answer.
func (e *Engine) lifeOf(ctx context.Context, id string, began time.Time) (life, error) {
	ctx, cancel := context.WithTimeout(ctx, lifeTimeout)
	defer cancel()
	api, err := e.api.anew()
	if err != nil {
		return life{}, err
	}
	defer api.Close()
	info, err := api.Info(ctx)
	if err != nil {
		return life{}, fmt.Errorf("ask whether the docker daemon was started anew: %w", err)
	}
	now, err := time.Parse(time.RFC3339Nano, info.SystemTime)
	if err != nil {
		now = time.Now()
	}
	said, failed := api.Events(ctx, events.ListOptions{Since: stamp(began.Add(-time.Second)), Until: stamp(now)})
	l := life{keeps: info.LiveRestoreEnabled}
	for n := 0; ; n++ {
		select {
		case m := <-said:
			if m.Type == events.ContainerEventType && m.Actor.ID == id {
				l.started = l.started || m.Action == events.ActionStart
				l.died = l.died || m.Action == events.ActionDie
				l.stopped = l.stopped || stops(m)
				l.destroyed = l.destroyed || m.Action == events.ActionDestroy
			}
		case err := <-failed:
			if !errors.Is(err, io.EOF) {
				return life{}, fmt.Errorf("ask what the docker daemon did: %w", err)
			}
			l.whole = n < eventsKept
			return l, nil
		}
	}
}

// interrupted tells whether the daemon's own end ended the container, or lost it (s is nil). left is when this engine
// was without an answer of the daemon last while the container ran; zero: it saw the end, or nothing. A daemon that
// keeps its containers ends none, and one that has started a container has not been started anew since.
//
//	                     this daemon saw the end    it did not, and nothing is forgotten     it has forgotten too much
//	engine was without   the daemon's               the daemon's                             the daemon's, if soon after
//	engine saw nothing   the daemon's               the daemon's, if it looks like that      the service's
func (l life) interrupted(s *container.State, left time.Time) bool {
	switch {
	case l.started || l.destroyed:
		return false
	case s == nil:
		return l.whole || !left.IsZero()
	case l.keeps || s.OOMKilled:
		return false
	case l.whole && (l.died || !left.IsZero()):
		return true
	case l.whole:
		return asked[s.ExitCode]
	}
	ended, err := time.Parse(time.RFC3339Nano, s.FinishedAt)
	return !left.IsZero() && (err != nil || ended.Before(left.Add(restartTime)))
}

// asked are the exit codes of what a daemon has ended with itself: after SIGTERM or SIGKILL, and unknown. Another one
// is more likely the service's own.
var asked = map[int]bool{0: true, 128 + 9: true, 128 + 15: true, 255: true}
