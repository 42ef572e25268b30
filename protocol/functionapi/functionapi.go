// Package functionapi is what the function manager's admin interface and its callers agree on: its routes, and what
// they take and answer. docs/function-manager.md describes it.
//
//	person ──HTTP, JSON──► master (masterapi.PathServiceAdmin) ──► <run folder of the instance>/admin.sock ──► manager
package functionapi

// Routes: Functions and Rules read, with GET, and answer with a List; Call is a POST.
const (
	Functions = "/v1/functions"
	Rules     = "/v1/rules"
	Call      = "/v1/functions/call"
)

// List is all of them, in the order of the configuration.
type List[T any] struct {
	Items []T `json:"items"`
}

// Function is a function with its numbers since the start of the manager.
type Function struct {
	Name         string            `json:"name"`
	Service      string            `json:"service"` // which runs it
	Min          int               `json:"min"`     // instances
	Max          int               `json:"max"`
	Concurrency  int               `json:"concurrency"` // calls at once of one instance
	Instances    map[string]int    `json:"instances"`   // by state: starting, idle, busy, stopping
	Waiting      int               `json:"waiting"`     // calls that wait for an instance
	Starts       uint64            `json:"starts"`      // of instances
	FailedStarts uint64            `json:"failed_starts"`
	Calls        map[string]uint64 `json:"calls"`                // by outcome: ok, error, overload, broken, timeout
	CallSeconds  float64           `json:"call_seconds"`         // of all calls
	LastError    string            `json:"last_error,omitempty"` // of a call or of a start
}

// Rule is a rule with its numbers since the start of the manager.
type Rule struct {
	Subscribe string `json:"subscribe"` // filter
	Function  string `json:"function"`
	Publish   string `json:"publish"` // topic
	Connected bool   `json:"connected"`
	InFlight  int    `json:"underway"` // messages received and not finished
	Received  uint64 `json:"received"`
	Results   uint64 `json:"results"`
	Empty     uint64 `json:"empty"`  // no result, as the function wanted
	Errors    uint64 `json:"errors"` // error messages published
	Retries   uint64 `json:"retries"`
	Refused   uint64 `json:"refused"` // results that the hub does not take
	Dropped   uint64 `json:"dropped"` // QoS 0 messages for which there was no room
	Held      uint64 `json:"held"`    // times that a message had to wait for room
}

// DefaultTopic is the topic of a call that has none.
const DefaultTopic = "t"

// CallRequest calls a function once, without a retry. The payload is text or base64: one of the two, or none.
type CallRequest struct {
	Function string  `json:"function"`
	Topic    string  `json:"topic,omitempty"` // of the message; empty: DefaultTopic
	Payload  string  `json:"payload,omitempty"`
	Base64   []byte  `json:"payload_base64,omitempty"`
	Timeout  float64 `json:"timeout_seconds,omitempty"` // in all, up to 55; 0: that
}

// CallAnswer is what the function has returned.
type CallAnswer struct {
	Payload string  `json:"payload,omitempty"` // if it is UTF-8
	Base64  []byte  `json:"payload_base64,omitempty"`
	Size    int     `json:"size"` // bytes of the payload; 0: the function gives no result
	Seconds float64 `json:"seconds"`
}
