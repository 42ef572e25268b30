// Package hubapi is what the hub's admin interface and its callers agree on: its routes, and what they take and answer.
// docs/hub.md describes it.
//
//	person ──HTTP, JSON──► master (masterapi.PathServiceAdmin) ──► <run folder of the instance>/admin.sock ──► hub
package hubapi

import (
	"encoding/json"
	"time"
)

// Routes that read, with GET. All but Counters, Access and Messages are lists; Messages is a stream of Message.
const (
	Clients       = "/v1/clients"
	Sessions      = "/v1/sessions"
	Subscriptions = "/v1/subscriptions"
	Retained      = "/v1/retained"
	Receivers     = "/v1/receivers"
	Counters      = "/v1/counters"
	Access        = "/v1/access"
	Messages      = "/v1/messages"
)

// Routes that change something, with POST. Each takes a body and answers with Done.
const (
	Kick           = "/v1/clients/kick"
	DeleteSession  = "/v1/sessions/delete"
	DeleteRetained = "/v1/retained/delete"
	Publish        = "/v1/publish"
)

// Page is a part of a list. Entries that are there from the first page to the last are in it once, others perhaps.
type Page[T any] struct {
	Items []T    `json:"items"`          // in the order of their names; at most limit, fewer if they are long
	Next  string `json:"next,omitempty"` // after of the next page; empty: this is the last one
}

// Waiting is what waits for a session.
type Waiting struct {
	InFlight    int    `json:"in_flight"`    // QoS 1 and 2 messages that are sent and not acknowledged
	Queued      int    `json:"queued"`       // QoS 1 and 2 messages that wait, those in flight included
	QueuedBytes int64  `json:"queued_bytes"` // of them; of those on disk about
	Oldest      int64  `json:"oldest_seconds"`
	Dropped     uint64 `json:"dropped"` // messages that the session did not get, since the start of the hub
}

// Client is a connection with a session.
type Client struct {
	Client    string    `json:"client"` // client id; without one: U+0000 and a number of the hub
	User      string    `json:"user"`
	Address   string    `json:"address"`  // host:port of the other end
	Listener  string    `json:"listener"` // scheme://host:port of this end
	Protocol  string    `json:"protocol"` // version of MQTT: 3.1 or 3.1.1
	Bridge    bool      `json:"bridge"`   // it is another broker
	Since     time.Time `json:"since"`
	KeepAlive int       `json:"keepalive_seconds"` // 0: none
	Unsent    int64     `json:"unsent_bytes"`      // that its socket has not taken yet
	Published uint64    `json:"published"`         // PUBLISH packets that came from it, since its connection began
	Bytes     uint64    `json:"published_bytes"`   // of them, with their heads
	Waiting
}

// Session is what the hub keeps for a client, connected or not.
type Session struct {
	Client        string `json:"client"`
	User          string `json:"user"`    // whose it is
	Durable       bool   `json:"durable"` // it outlives its connection
	Connected     bool   `json:"connected"`
	Away          int64  `json:"away_seconds"` // since the last connection, or the start of the hub; 0 if connected
	Subscriptions int    `json:"subscriptions"`
	Waiting
}

// Subscription is a filter of a session.
type Subscription struct {
	Client string `json:"client"`
	User   string `json:"user"`
	Filter string `json:"filter"`
	QOS    int    `json:"qos"`
	Active bool   `json:"active"` // false: its user may not have it any more
}

// RetainedMessage is the retained message of a topic.
type RetainedMessage struct {
	Topic string `json:"topic"`
	QOS   int    `json:"qos"`
	Size  int    `json:"size"` // bytes of the payload
	Age   *int64 `json:"age_seconds,omitempty"`
}

// Receiver is a session that gets messages of a topic, since a filter of it matches.
type Receiver struct {
	Client    string `json:"client"`
	User      string `json:"user"`
	Filter    string `json:"filter"`
	QOS       int    `json:"qos"` // of the subscription: messages have this QoS at most
	Active    bool   `json:"active"`
	Durable   bool   `json:"durable"` // QoS 1 and 2 messages wait for it while it is not connected
	Connected bool   `json:"connected"`
	Route     string `json:"route,omitempty"` // topic of the copy that it gets, by a static route; empty: the message
	Waiting
}

// Message is a line of Messages: a message that the hub has delivered, and stored where that was asked for. A line with
// Missed has nothing else.
type Message struct {
	Time    time.Time `json:"time,omitzero"` // when it came; of a kept one: zero if it was before the start of the hub
	Topic   string    `json:"topic,omitempty"`
	Payload string    `json:"payload,omitempty"` // if it is UTF-8 without control characters but tab and newline
	Base64  []byte    `json:"payload_base64,omitempty"`
	Size    int       `json:"size"`             // bytes of the payload
	Cut     bool      `json:"cut,omitempty"`    // the payload has more than MostPayload bytes, and is left out
	QOS     int       `json:"qos"`              // that it was published with
	Retain  bool      `json:"retain,omitempty"` // it was published so
	Kept    bool      `json:"kept,omitempty"`   // it is the retained message of its topic, from before
	Client  string    `json:"client,omitempty"` // who has published it; empty: the hub, a person, or a static route
	User    string    `json:"user,omitempty"`
	Missed  uint64    `json:"missed,omitempty"` // so many are left out here, since what came before was not read in time
}

// MarshalJSON implements json.Marshaler.
func (m Message) MarshalJSON() ([]byte, error) {
	if m.Missed > 0 {
		return json.Marshal(map[string]uint64{"missed": m.Missed})
	}
	type plain Message // without this method
	return json.Marshal(plain(m))
}

// MostPayload is how many bytes of payload a line of Messages has at most.
const MostPayload = 1 << 20

// Parameters of Messages.
const (
	QueryFilter = "filter" // of topics; there has to be one
	QueryKept   = "kept"   // true: the retained messages first
)

// Actions of Access.
const (
	ActionPublish   = "publish"
	ActionSubscribe = "subscribe"
)

// Decision is the answer of Access: may the user do it, and which rule says so?
type Decision struct {
	Allowed bool   `json:"allowed"`
	Rule    string `json:"rule,omitempty"`   // key in the configuration: principals[0].permissions[1].permit[0]
	Permit  string `json:"permit,omitempty"` // what stands there
	Reason  string `json:"reason,omitempty"` // why not, and what would help
}

// KickRequest closes the connection of a client. Its will is published, as with every connection that breaks.
type KickRequest struct {
	Client string `json:"client"`
	Reason string `json:"reason"` // for the log; may be empty
}

// DeleteSessionRequest removes a session with all that waits for it, after closing its connection.
type DeleteSessionRequest struct {
	Client string `json:"client"`
}

// DeleteRetainedRequest removes the retained message of a topic, or those that a filter matches: one of the two.
type DeleteRetainedRequest struct {
	Topic  string `json:"topic"`
	Filter string `json:"filter"`
}

// PublishRequest is a message, with its payload as text or as base64: one of the two, or none.
type PublishRequest struct {
	Topic   string `json:"topic"`
	Payload string `json:"payload"`
	Base64  []byte `json:"payload_base64"`
	QOS     int    `json:"qos"` // 0, 1, 2
	Retain  bool   `json:"retain"`
}

// Done says how many were kicked, removed or published.
type Done struct {
	Done int `json:"done"`
}
