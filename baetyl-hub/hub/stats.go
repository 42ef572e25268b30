package hub

import (
	"context"
	"time"
)

// Stats are counters since the start, and states of now, by name. The hub reports them to the master and logs them.
func (h *Hub) Stats() map[string]int64 {
	c, r, s := h.sessions.Stats(), h.router.Stats(), h.store.Stats()
	return map[string]int64{
		"connections":            c.Connections.Load(),
		"connections_rejected":   int64(c.Rejected.Load()),
		"logins_refused":         int64(c.Refused.Load()),
		"forbidden":              int64(c.Forbidden.Load()),
		"sessions":               int64(h.sessions.Sessions()),
		"subscriptions":          r.Subscriptions.Load(),
		"retained":               r.Retained.Load(),
		"publish_received":       int64(c.Received.Load()),
		"publish_sent":           int64(c.Sent.Load()),
		"publish_repeated":       int64(c.Repeated.Load()),
		"publish_refused":        int64(r.Refused.Load()),
		"dropped_slow_reader":    int64(c.Dropped.Load()),
		"dropped_queue_full":     int64(c.QueueFull.Load()),
		"dropped_expired":        int64(s.Expired.Load()),
		"stored_messages":        s.Messages.Load(),
		"stored_bytes":           s.Bytes.Load(),
		"store_batches":          int64(s.Batches.Load()),
		"store_syncs":            int64(s.Syncs.Load()),
		"store_errors":           int64(s.Errors.Load()),
		"store_refused_messages": int64(s.Refused.Load()),
	}
}

// logStatus writes a line every `status.logging.interval`.
func (h *Hub) logStatus(ctx context.Context) error {
	t := time.NewTicker(h.cfg.Status.Logging.Interval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			entry := h.log
			for k, v := range h.Stats() {
				entry = entry.WithField(k, v)
			}
			entry.Infof("status")
		}
	}
}
