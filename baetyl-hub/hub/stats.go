package hub

import (
	"context"
	"time"

	"github.com/baetyl/baetyl/utils/run"
)

// Stat is one statistic of the hub. It is reported to the master, in the status line of the log, to Prometheus and
// below $SYS.
type Stat struct {
	Name    string // as reported; baetyl_hub_<name> in Prometheus
	Help    string
	Counter bool   // counts since the start; else it is a current value
	Sys     string // topic below $SYS/broker/, with mosquitto's name where it has one; empty: none
	Value   int64
}

// Stats returns the current values.
func (h *Hub) Stats() []Stat {
	c, s, logins := h.server.Stats(), h.store.Stats(), h.server.Logins()
	rejected := h.listeners.Rejected()
	count := func(name, sys, help string, v uint64) Stat { return Stat{name, help, true, sys, int64(v)} }
	state := func(name, sys, help string, v int64) Stat { return Stat{name, help, false, sys, v} }
	list := []Stat{
		state("uptime_seconds", "uptime", "seconds since the start", int64(time.Since(h.started)/time.Second)),
		state("connections", "clients/connected", "connected clients", int64(c.Connections)),
		state("connections_max", "", "connections that are taken: connection.max, or what memory and open files allow",
			int64(h.cfg.Connection.Max)),
		state("sessions", "clients/total", "sessions, connected or not", int64(c.Sessions)),
		state("sessions_away", "clients/disconnected", "sessions without connection",
			int64(max(0, c.Sessions-c.Connections))),
		count("sessions_expired", "", "kept sessions that nobody had used for session.expiry", c.Removed),
		count("connections_rejected", "", "connections over connection.max", c.Rejected+rejected.All),
		count("connections_rejected_memory", "", "connections closed before their login, since those in that state had no "+
			"more memory (limits.queued.memory)", c.Crowded),
		state("connections_unchecked_bytes", "", "memory of connections that are not logged in, besides 4 KiB of each",
			c.Unchecked),
		count("connections_rejected_address", "", "connections over connection.address.max", rejected.Address),
		count("connections_taken_over", "", "connections that ended since another one has taken their session over",
			c.TakenOver),
		count("connections_silent", "", "connections that ended since nothing came for 1.5 times the keep-alive",
			c.KeepAlive),
		count("connections_slow", "", "connections that ended since the client took nothing (connection.write.timeout), or "+
			"so little that its buffers were full", c.Slow),
		count("logins_refused", "", "CONNECT with unknown user, wrong password or unsuitable certificate", c.Refused),
		count("clientids_refused", "", "CONNECT with a client id that is not allowed, or that belongs to another user",
			c.RefusedIDs),
		count("logins_delayed", "", "of those, answered late because of earlier ones (connection.login.delay)",
			logins.Delayed),
		count("logins_dropped", "", "CONNECT not checked: too many waited, or the client had left", logins.Dropped),
		count("forbidden", "", "publications, wills and subscriptions without permission", c.Forbidden),
		state("subscriptions", "subscriptions/count", "subscriptions", int64(c.Subscriptions)),
		state("retained", "retained messages/count", "retained messages", int64(c.Retained)),
		count("publish_received", "publish/messages/received", "PUBLISH packets from clients", c.Received),
		count("publish_sent", "publish/messages/sent", "PUBLISH packets to clients", c.Sent+c.Passed),
		count("publish_repeated", "", "of those, repetitions of unacknowledged ones", c.Repeated),
		count("publish_refused", "", "publications that could not be stored", c.Unstored),
		count("dropped", "publish/messages/dropped", "messages dropped for any reason",
			c.Dropped+c.RateDropped+c.QueueFull+c.OverBudget+s.Expired+c.Expired),
		count("dropped_slow_reader", "", "QoS 0 messages that a slow reader did not get (message.egress.qos0.buffer)",
			c.Dropped),
		count("dropped_publish_rate", "", "QoS 0 messages over a publish rate (limits.client, limits.principal)",
			c.RateDropped),
		count("publish_slowed", "", "QoS 1 and 2 and retained messages that had to wait for a publish rate", c.Slowed),
		count("dropped_queue_full", "", "QoS 1 and 2 messages over session.queue.max", c.QueueFull),
		count("dropped_budget", "", "QoS 1 and 2 messages over queued.memory or queued.disk (limits)", c.OverBudget),
		count("dropped_expired", "", "QoS 1 and 2 messages over message.ingress.qos1.cleanup.retention",
			s.Expired+c.Expired),
		state("stored_messages", "store/messages/count", "messages on disk", s.Messages),
		state("stored_bytes", "store/messages/bytes", "their size in bytes", s.Bytes),
		count("store_batches", "", "transactions written", s.Batches),
		count("store_syncs", "", "of those, with fsync", s.Syncs),
		count("store_errors", "", "transactions that could not be written", s.Errors),
		count("store_refused", "", "messages refused because the store is full (storage.max, storage.free)",
			c.Full),
	}
	if x := h.tls.Load(); x != nil {
		list = append(list, state("certificate_seconds_left", "", "seconds until the first in the files of "+
			"certificate.cert, certificate.ca and certificate.crl is out of date", int64(x.left(time.Now())/time.Second)))
	}
	return list
}

// Report returns the statistics by name, for the master.
func (h *Hub) Report() map[string]int64 {
	out := map[string]int64{}
	for _, x := range h.Stats() {
		out[x.Name] = x.Value
	}
	return out
}

// logStatus logs the statistics every `status.logging.interval`.
func (h *Hub) logStatus(ctx context.Context) error {
	return run.Every(ctx, h.cfg.Status.Logging.Interval, func() {
		entry := h.log
		for _, x := range h.Stats() {
			entry = entry.WithField(x.Name, x.Value)
		}
		entry.Infof("status")
	})
}
