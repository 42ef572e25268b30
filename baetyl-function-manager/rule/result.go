package rule

import (
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"time"

	"github.com/baetyl/baetyl/protocol/mqtt"
	"github.com/baetyl/baetyl/utils/backoff"
)

// refusals are the delays before a result is published again after the hub has refused it and its error message.
var refusals = backoff.Policy{Min: time.Second, Max: time.Minute, Jitter: 0.2}

// finish brings one message to its end, but for the hub's acknowledgement of the result. It does not block. Called
// under mu, as are those that it calls.
func (r *Rule) finish(c *call) {
	d, out, err := c.d, c.out, c.err
	switch {
	case r.wait.Err() != nil && (err != nil || r.work.Err() != nil):
		r.leave(c) // not acknowledged: the hub sends it again
	case err != nil:
		r.fail(c, err)
	case len(out.GetPayload()) == 0:
		r.empty.Add(1)
		d.Ack()
		r.leave(c)
	default:
		result := mqtt.Message{Topic: r.cfg.Publish.Topic, QOS: min(d.QOS, r.cfg.Publish.QOS), Payload: out.Payload}
		if size := result.PacketSize(); size > r.limit {
			const text = "result of %d bytes makes a packet of %d bytes, more than message.length.max (%d), " +
				"which the hub would refuse"
			r.fail(c, fmt.Errorf(text, len(out.Payload), size, r.limit))
			return
		}
		r.publish(c, result, func(err error) {
			switch {
			case errors.Is(err, mqtt.ErrPoison):
				cause := fmt.Errorf("the hub refuses the result of %d bytes on topic %s", len(out.Payload), result.Topic)
				go r.locked(func() { r.fail(c, cause) })
				return
			case err == nil:
				r.results.Add(1)
				d.Ack()
			}
			r.leave(c)
		})
	}
}

// refusal is an error that the function itself reports. As documented, it goes where results go.
type refusal struct{ error }

// fail publishes the error message of a call.
func (r *Rule) fail(c *call, cause error) {
	targets := []mqtt.TopicInfo{r.cfg.Publish}
	if dead := r.cfg.DeadLetter; dead.Topic != "" {
		targets = append(targets, mqtt.TopicInfo{Topic: dead.Topic, QOS: dead.QOS})
		if !errors.As(cause, new(refusal)) {
			targets[0], targets[1] = targets[1], targets[0]
		}
	}
	r.report(c, cause, targets)
}

func (r *Rule) report(c *call, cause error, targets []mqtt.TopicInfo) {
	if len(targets) == 0 {
		r.again(c, cause)
		return
	}
	t := targets[0]
	r.publish(c, report(c.Message, cause, t.Topic, min(c.d.QOS, t.QOS), r.limit), func(err error) {
		switch {
		case errors.Is(err, mqtt.ErrPoison):
			go r.locked(func() { r.report(c, cause, targets[1:]) })
			return
		case err == nil:
			r.errors.Add(1)
			c.d.Ack()
		}
		r.leave(c)
	})
}

// again publishes the result once more, later. A hub that refuses even a small message may have a full disk, or may not
// permit the topics of this rule. An operator can change both, so no message is given up.
func (r *Rule) again(c *call, cause error) {
	delay := refusals.Delay(c.refused, mathrand.Float64())
	c.refused++
	r.refused.Add(1)
	r.log.WithError(cause).WithField("invokeid", c.Message.FunctionInvokeID).Errorf(
		"the hub takes neither result nor error message; the result is published again in %s", delay.Round(time.Second))
	time.AfterFunc(delay, func() { r.locked(func() { r.finish(c) }) })
}

func (r *Rule) locked(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

// publish hands what comes of c to the MQTT client. done is called once, with the error or nil, and must not block.
// Called under mu.
func (r *Rule) publish(c *call, m mqtt.Message, done func(error)) {
	r.echo.published(m.Payload, c, time.Now())
	if err := r.hub.PublishAsync(r.work, m, done); err != nil {
		done(err)
	}
}

// leave ends a message: there is room for another.
func (r *Rule) leave(c *call) {
	r.share.free(c.size)
	r.inFlight.Add(-1)
}
