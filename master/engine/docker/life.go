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
	recallTime  = 3 * time.Second  // for a daemon that reads its events from a file, as podman does
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

// lifeOf asks the daemon about a container that began at that time. One that is ending does not answer. One that says
// nothing of the end is given time: podman reads its events from a file, and ends that at once when all that was asked
// for is past. What it has read until then is what comes first.
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
	since := began.Add(-time.Second)
	l, err := recall(ctx, api, id, since, now, false)
	if err == nil && !l.ended() {
		l, err = recall(ctx, api, id, since, now.Add(recallTime), true)
	}
	l.keeps = info.LiveRestoreEnabled
	return l, err
}

// recall reads the events of a time: all of them, or those to the end of the container.
func recall(ctx context.Context, api *transport, id string, since, until time.Time, toEnd bool) (l life, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	said, failed := api.Events(ctx, events.ListOptions{Since: stamp(since), Until: stamp(until)})
	for n := 0; ; n++ {
		select {
		case m := <-said:
			if m.Type == events.ContainerEventType && m.Actor.ID == id {
				l.heard(m)
			}
			if l.whole = n+1 < eventsKept; toEnd && l.ended() {
				return l, nil
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

// heard takes an event of the container. The end of one is destroy for docker, and remove for podman.
func (l *life) heard(m events.Message) {
	l.started = l.started || m.Action == events.ActionStart
	l.died = l.died || m.Action == events.ActionDie
	l.stopped = l.stopped || stops(m)
	l.destroyed = l.destroyed || m.Action == events.ActionDestroy || m.Action == events.ActionRemove
}

// ended tells whether the daemon remembers the end.
func (l life) ended() bool { return l.died || l.destroyed }

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
