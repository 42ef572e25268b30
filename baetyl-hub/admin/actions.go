package admin

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/record"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/hubapi"
)

// field is a key of a body, and where its value goes.
type field struct {
	name string
	to   any // a pointer
}

// read reads the body of a request: one JSON object, each of whose keys is one of fields, once.
func (r *request) read(fields ...field) error {
	var body json.RawMessage
	if err := http.ReadJSON(r.Request, &body); err != nil {
		return err
	}
	return decode(body, fields)
}

// decode is read of a body that is JSON.
func decode(body []byte, fields []field) error {
	if !utf8.Valid(body) {
		return bad("the body is not UTF-8; send other bytes as payload_base64")
	}
	in := json.NewDecoder(bytes.NewReader(body))
	if t, err := in.Token(); err != nil || t != json.Delim('{') {
		return bad("the body is no JSON object; send {%s: …}", strconv.Quote(fields[0].name))
	}
	seen := map[string]bool{}
	for in.More() {
		t, err := in.Token()
		if err != nil {
			return bad("read body: %s", err)
		}
		name := t.(string) // the key of an object
		to := place(fields, name)
		switch {
		case to == nil:
			return bad("key %s is not known; use %s", quote(name), names(fields))
		case seen[name]:
			return bad("key %s stands twice; use it once", name)
		}
		seen[name] = true
		var value json.RawMessage
		if err := in.Decode(&value); err != nil {
			return bad("read body: %s", err)
		}
		if err := json.Unmarshal(value, to); err != nil {
			return bad("%s: %s", name, cut(err.Error(), maxQuoted))
		}
		if text, ok := to.(*string); ok && broken(*text, value) {
			return bad("%s: an escape \\u is half of a surrogate pair; send whole characters", name)
		}
	}
	return nil
}

// broken tells whether a text has a replacement character that its JSON has not: it stands for half a pair.
func broken(text string, value []byte) bool {
	const replacement = "\uFFFD"
	has := func(part string) int { return strings.Count(strings.ToLower(string(value)), part) }
	return strings.Count(text, replacement) > has(replacement)+has(`\ufffd`)
}

func place(fields []field, name string) any {
	for _, f := range fields {
		if f.name == name {
			return f.to
		}
	}
	return nil
}

func names(fields []field) string {
	list := make([]string, len(fields))
	for i, f := range fields {
		list[i] = f.name
	}
	return strings.Join(list, ", ")
}

func (h *handler) kick(r *request) (any, error) {
	var in hubapi.KickRequest
	if err := r.read(field{"client", &in.Client}, field{"reason", &in.Reason}); err != nil {
		return nil, err
	}
	r.note["client"], r.note["reason"] = in.Client, in.Reason
	switch {
	case in.Client == "":
		return nil, bad("client is missing; send the client id of %s", hubapi.Clients)
	case len(in.Reason) > maxQuoted:
		return nil, bad("reason: has %d bytes; use up to %d", len(in.Reason), maxQuoted)
	}
	return hubapi.Done{Done: 1}, h.actions.Kick(in.Client, in.Reason)
}

func (h *handler) deleteSession(r *request) (any, error) {
	var in hubapi.DeleteSessionRequest
	if err := r.read(field{"client", &in.Client}); err != nil {
		return nil, err
	}
	r.note["client"] = in.Client
	if in.Client == "" {
		return nil, bad("client is missing; send the client id of %s", hubapi.Sessions)
	}
	return hubapi.Done{Done: 1}, h.actions.DeleteSession(r.Context(), in.Client)
}

func (h *handler) deleteRetained(r *request) (any, error) {
	var in hubapi.DeleteRetainedRequest
	if err := r.read(field{"topic", &in.Topic}, field{"filter", &in.Filter}); err != nil {
		return nil, err
	}
	var n int
	var err error
	switch {
	case (in.Topic == "") == (in.Filter == ""):
		return nil, bad("send topic, for one message, or filter, for those that it matches: one of the two")
	case in.Topic != "":
		r.note["topic"] = in.Topic
		n, err = h.actions.DeleteRetained(r.Context(), in.Topic)
	default:
		r.note["filter"] = in.Filter
		n, err = h.actions.DeleteRetainedMatching(r.Context(), in.Filter)
	}
	r.note["done"] = strconv.Itoa(n)
	return hubapi.Done{Done: n}, err
}

func (h *handler) publish(r *request) (any, error) {
	var in hubapi.PublishRequest
	err := r.read(field{"topic", &in.Topic}, field{"payload", &in.Payload}, field{"payload_base64", &in.Base64},
		field{"qos", &in.QOS}, field{"retain", &in.Retain})
	if err != nil {
		return nil, err
	}
	r.note["topic"], r.note["qos"], r.note["retain"] = in.Topic, strconv.Itoa(in.QOS), strconv.FormatBool(in.Retain)
	payload := []byte(in.Payload)
	if len(in.Base64) > 0 {
		payload = in.Base64
	}
	r.note["bytes"] = strconv.Itoa(len(payload))
	switch {
	case in.Payload != "" && len(in.Base64) > 0:
		return nil, bad("payload and payload_base64 are both there; send one of them")
	case in.QOS < 0 || in.QOS > 2:
		return nil, bad("qos: %d; use 0, 1 or 2", in.QOS)
	}
	m := &record.Message{Topic: in.Topic, Payload: payload, QOS: packet.QOS(in.QOS), Retain: in.Retain}
	return hubapi.Done{Done: 1}, h.actions.Publish(r.Context(), m)
}
