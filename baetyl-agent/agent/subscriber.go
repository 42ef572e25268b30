package agent

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/baetyl/baetyl/baetyl-agent/eventstore"
	"github.com/baetyl/baetyl/protocol/cloud"
	"github.com/baetyl/baetyl/protocol/mqtt"
	"github.com/baetyl/baetyl/utils/backoff"
	"github.com/baetyl/baetyl/utils/log"
)

// subscriber handles the messages of the cloud. OnMessage may block: the dispatcher serves the connection in another
// goroutine.
type subscriber struct {
	ctx    context.Context
	topic  string
	events *eventstore.Store
	log    log.Logger

	taken, refused atomic.Uint64
}

// OnMessage acknowledges an event when it is on disk, or when it is clear that it will never be carried out.
func (s *subscriber) OnMessage(d *mqtt.Delivery) {
	l := s.log.WithField(log.KeyTopic, d.Topic)
	if d.Topic != s.topic { // of remote.mqtt.subscriptions
		l.Debugf("message ignored: its topic is not the topic of events")
		d.Ack()
		return
	}
	event, err := cloud.Parse(d.Payload)
	if err != nil {
		s.refused.Add(1)
		l.WithError(err).Warnf("event refused and acknowledged; it is not carried out")
		d.Ack()
		return
	}
	l = l.WithField("trace", event.OTA.Trace).WithField("type", event.OTA.Type).WithField("version", event.OTA.Version)
	for n := 0; ; n++ {
		added, err := s.events.Add(s.ctx, event.OTA, time.Now())
		if s.ctx.Err() != nil {
			return // not acknowledged: the cloud sends it again
		}
		if err == nil {
			if added {
				s.taken.Add(1)
				l.Infof("event stored; its update waits to be carried out")
			} else {
				l.Infof("event ignored: its update is known")
			}
			d.Ack()
			return
		}
		delay := (backoff.Policy{Min: time.Second, Max: time.Minute, Jitter: 0.2}).Delay(n, rand.Float64())
		l.WithError(err).Errorf("event can't be stored; next attempt in %s", delay.Round(time.Millisecond))
		select {
		case <-time.After(delay):
		case <-s.ctx.Done():
		}
	}
}

// OnError has nothing to do: the dispatcher logs its state.
func (s *subscriber) OnError(error) {}

// stats are the counters that the agent reports to the master.
func (s *subscriber) stats() map[string]any {
	return map[string]any{"events_taken": s.taken.Load(), "events_refused": s.refused.Load()}
}
