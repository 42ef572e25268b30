package bridge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/baetyl/baetyl/baetyl-remote-mqtt/config"
	"github.com/baetyl/baetyl/protocol/mqtt"
	"github.com/baetyl/baetyl/utils/log"
)

// drainTimeout is how long a bridge that ends waits for acknowledgements of what is under way.
const drainTimeout = 3 * time.Second

// Bridge is one rule. Run is called once.
type Bridge struct {
	rule     int
	name     string
	up, down *direction
	hub, far *mqtt.Dispatcher
}

// New returns the bridge of a link. A message is given up after the other side has closed tries connections on it, see
// mqtt.WithProbe. It connects to nothing.
func New(l config.Link, letters DeadLetters, tries int, logger log.Logger) (*Bridge, error) {
	logger = logger.WithField("rule", l.Rule).WithField("remote", l.Remote)
	opts := []mqtt.Option{mqtt.WithPoisonLimit(tries), mqtt.WithProbe()}
	hub, err := mqtt.NewDispatcher(l.Near, append(opts, mqtt.WithLogger(logger.WithField("side", "hub")))...)
	if err != nil {
		return nil, fmt.Errorf("hub.%w", err)
	}
	opts = append(opts, mqtt.WithLogger(logger.WithField("side", "remote")))
	if l.Will != nil {
		opts = append(opts, mqtt.WithWill(*l.Will))
	}
	far, err := mqtt.NewDispatcher(l.Far, opts...)
	if err != nil {
		return nil, fmt.Errorf("remote (%s): %w", l.Remote, err)
	}
	return &Bridge{rule: l.Rule, name: l.Remote, hub: hub, far: far,
		up:   newDirection(l.Rule, "hub", l.Remote, l.Up, far, letters, logger),
		down: newDirection(l.Rule, l.Remote, "hub", l.Down, hub, letters, logger)}, nil
}

// Run passes messages on until ctx ends. What is under way then gets some time to be acknowledged; the rest stays
// where it is.
func (b *Bridge) Run(ctx context.Context) error {
	if err := errors.Join(b.hub.Start(b.up), b.far.Start(b.down)); err != nil {
		return err
	}
	<-ctx.Done()
	wait, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	b.up.stop(wait)
	b.down.stop(wait)
	for _, d := range []*mqtt.Dispatcher{b.hub, b.far} {
		if d.Stats().Connected {
			d.Drain(wait) // acknowledgements; what is not written comes again
		}
	}
	err := errors.Join(b.hub.Close(), b.far.Close())
	b.hub.Wait()
	b.far.Wait()
	b.up.keeping.Wait()
	b.down.keeping.Wait()
	return err
}

// Stats are the numbers of a bridge since its start.
type Stats struct {
	Rule     int
	Remote   string
	Hub, Far Side
	Up, Down Direction
}

// Side is one connection.
type Side struct {
	Since      time.Time // connected since; zero: not connected
	Reconnects uint64    // connections that ended
}

// Stats returns the numbers of this moment.
func (b *Bridge) Stats() Stats {
	hub, far := b.hub.Stats(), b.far.Stats()
	return Stats{Rule: b.rule, Remote: b.name, Up: b.up.stats(hub), Down: b.down.stats(far),
		Hub: Side{hub.Since, hub.Reconnects}, Far: Side{far.Since, far.Reconnects}}
}
