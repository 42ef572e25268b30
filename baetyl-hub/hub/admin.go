package hub

import (
	"context"
	"fmt"
	"time"

	hubadmin "github.com/baetyl/baetyl/baetyl-hub/admin"
	"github.com/baetyl/baetyl/baetyl-hub/conn"
	"github.com/baetyl/baetyl/baetyl-hub/core"
	"github.com/baetyl/baetyl/baetyl-hub/listener"
	"github.com/baetyl/baetyl/baetyl-hub/record"
	"github.com/baetyl/baetyl/protocol/admin"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/hubapi"
	"github.com/baetyl/baetyl/utils/log"
)

// adminServer returns the server of the admin interface; nil: there is none.
func (h *Hub) adminServer() *http.Server {
	i := hubadmin.New(desk{h}, desk{h}, desk{h}, h.adminLog())
	i.Metrics = h.page
	return admin.Server(h.cfg.Admin, i)
}

func (h *Hub) adminLog() log.Logger { return h.log.WithField("api", "admin") }

// desk implements admin.Lists and admin.Actions.
type desk struct{ h *Hub }

// Clients implements admin.Lists.
func (d desk) Clients(q core.Query) (list []hubapi.Client, next core.Key) {
	var items []core.ClientItem
	d.h.server.Inspect(func(k *core.Core, pause func()) { items, next = k.Clients(q, pause) })
	for _, x := range items {
		line := conn.Line(x.Handle)
		x.Listener = listener.Scheme(line) + "://" + line.LocalAddr().String()
		d.complete(&x.Waiting, x.Number)
		list = append(list, x.Client)
	}
	return list, next
}

// Sessions implements admin.Lists.
func (d desk) Sessions(q core.Query) (list []hubapi.Session, next core.Key) {
	var items []core.SessionItem
	d.h.server.Inspect(func(k *core.Core, pause func()) { items, next = k.Sessions(q, pause) })
	for _, x := range items {
		d.complete(&x.Waiting, x.Number)
		list = append(list, x.Session)
	}
	return list, next
}

// complete adds what the store knows of the messages of a session.
func (d desk) complete(w *hubapi.Waiting, number uint64) {
	if number == 0 || w.Queued == 0 {
		return
	}
	x := d.h.store.Waiting(number)
	w.QueuedBytes, w.Oldest = x.Bytes, int64(x.Oldest/time.Second)
}

// Subscriptions implements admin.Lists.
func (d desk) Subscriptions(q core.Query) (list []hubapi.Subscription, next core.Key) {
	d.h.server.Inspect(func(k *core.Core, pause func()) { list, next = k.Subscriptions(q, pause) })
	return list, next
}

// Retained implements admin.Lists.
func (d desk) Retained(q core.Query) (list []hubapi.RetainedMessage, next core.Key) {
	d.h.server.Inspect(func(k *core.Core, pause func()) { list, next = k.Retained(q, pause) })
	return list, next
}

// Counters implements admin.Lists.
func (d desk) Counters() map[string]int64 { return d.h.Report() }

// Access implements admin.Lists.
func (d desk) Access(user, client, action, topic string) (v hubapi.Decision) {
	d.h.server.Inspect(func(k *core.Core, _ func()) { v = k.Access(user, client, action, topic) })
	return v
}

// Receivers implements admin.Lists.
func (d desk) Receivers(q core.Query) (list []hubapi.Receiver, next core.Key, err error) {
	var items []core.ReceiverItem
	d.h.server.Inspect(func(k *core.Core, pause func()) { items, next, err = k.Receivers(q, pause) })
	for _, x := range items {
		d.complete(&x.Waiting, x.Number)
		list = append(list, x.Receiver)
	}
	return list, next, err
}

// Kick implements admin.Actions.
func (d desk) Kick(client, reason string) (err error) {
	d.h.server.Do(func(k *core.Core) { err = k.Kick(client, reason) })
	return err
}

// DeleteSession implements admin.Actions.
func (d desk) DeleteSession(ctx context.Context, client string) error {
	return d.wait(ctx, func(k *core.Core, done func(error)) { k.DeleteSession(client, done) })
}

// Publish implements admin.Actions.
func (d desk) Publish(ctx context.Context, m *record.Message) error {
	return d.wait(ctx, func(k *core.Core, done func(error)) { k.Publish(m, done) })
}

// DeleteRetained implements admin.Actions.
func (d desk) DeleteRetained(ctx context.Context, topic string) (int, error) {
	n, err := d.deleteRetained(ctx, []string{topic})
	if n == 0 && err == nil {
		err = fmt.Errorf("there is no retained message of the topic %q that can be deleted: %w", topic, core.ErrNotFound)
	}
	return n, err
}

// deletePortion is how many retained messages are deleted at a time.
const deletePortion = 256

// DeleteRetainedMatching implements admin.Actions.
func (d desk) DeleteRetainedMatching(ctx context.Context, filter string) (total int, err error) {
	limits := d.h.cfg.Limits()
	if err := limits.CheckFilter(filter); err != nil {
		return 0, fmt.Errorf("%w: %w", core.ErrInvalid, err)
	}
	var topics []string
	d.h.server.Inspect(func(k *core.Core, pause func()) { topics = k.RetainedTopics(filter, pause) })
	for len(topics) > 0 && err == nil {
		n := min(len(topics), deletePortion)
		var deleted int
		deleted, err = d.deleteRetained(ctx, topics[:n])
		total, topics = total+deleted, topics[n:]
	}
	return total, err
}

func (d desk) deleteRetained(ctx context.Context, topics []string) (n int, err error) {
	err = d.wait(ctx, func(k *core.Core, done func(error)) {
		k.DeleteRetained(topics, func(deleted int, err error) {
			if err == nil {
				n = deleted
			}
			done(err)
		})
	})
	return n, err
}

// wait starts something in the core and waits until it is done.
func (d desk) wait(ctx context.Context, start func(k *core.Core, done func(error))) error {
	done := make(chan error, 1) // one result: the core does not wait
	d.h.server.Do(func(k *core.Core) { start(k, func(err error) { done <- err }) })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("it is not known whether it is stored: %w", ctx.Err())
	}
}
