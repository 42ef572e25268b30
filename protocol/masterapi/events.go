package masterapi

import "time"

// Event is something that happened on the device: a line of RouteEvents. Texts hold no secrets.
type Event struct {
	Number   uint64            `json:"number"` // grows by one; a master that starts goes on behind the one before
	Time     time.Time         `json:"time"`
	Kind     string            `json:"kind"` // Event…: a noun, a dot, what happened to it
	Service  string            `json:"service,omitempty"`
	Instance string            `json:"instance,omitempty"`
	Text     string            `json:"text"`             // for people
	Fields   map[string]string `json:"fields,omitempty"` // for programs
}

// Kinds of events. Those of updates are EventUpdate and the step of the log of updates, in lower case.
const (
	EventMasterStarted   = "master.started"
	EventMasterLeaves    = "master.leaves" // services go on, another master follows
	EventMasterStops     = "master.stops"
	EventMasterReloaded  = "master.reloaded"
	EventServiceStarted  = "service.started" // is there, and its instances are being started
	EventServiceStopped  = "service.stopped"
	EventInstanceStarted = "instance.started"
	EventInstanceEnded   = "instance.ended" // with FieldStatus, and FieldReason unless it ended by itself with status 0
	EventInstanceStopped = "instance.stopped"
	EventInstanceWaits   = "instance.waits" // for other services, before its start
	EventUpdate          = "update."
	EventHealth          = "health." // and the status of an instance, Health…

	// left out of the events that a reader is sent: it was too slow, or away for too long. FieldCount says how many
	EventsMissed = "events.missed"
)

// Keys of Event.Fields.
const (
	FieldStatus = "status" // of an instance: Status…
	FieldReason = "reason"
	FieldNext   = "next" // when it is started again, RFC 3339
	FieldCount  = "count"
)
