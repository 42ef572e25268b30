package admin

import (
	"strconv"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/record"
	"github.com/baetyl/baetyl/protocol/admin"
	"github.com/baetyl/baetyl/protocol/hubapi"
)

func (h *handler) kick(r *admin.Request) (any, error) {
	var in hubapi.KickRequest
	err := r.Read(admin.Field{Name: "client", To: &in.Client}, admin.Field{Name: "reason", To: &in.Reason})
	if err != nil {
		return nil, err
	}
	r.Note("client", in.Client)
	r.Note("reason", in.Reason)
	switch {
	case in.Client == "":
		return nil, admin.Bad("client is missing; send the client id of %s", hubapi.Clients)
	case len(in.Reason) > admin.MaxQuoted:
		return nil, admin.Bad("reason: has %d bytes; use up to %d", len(in.Reason), admin.MaxQuoted)
	}
	return hubapi.Done{Done: 1}, h.actions.Kick(in.Client, in.Reason)
}

func (h *handler) deleteSession(r *admin.Request) (any, error) {
	var in hubapi.DeleteSessionRequest
	if err := r.Read(admin.Field{Name: "client", To: &in.Client}); err != nil {
		return nil, err
	}
	r.Note("client", in.Client)
	if in.Client == "" {
		return nil, admin.Bad("client is missing; send the client id of %s", hubapi.Sessions)
	}
	return hubapi.Done{Done: 1}, h.actions.DeleteSession(r.Context(), in.Client)
}

func (h *handler) deleteRetained(r *admin.Request) (any, error) {
	var in hubapi.DeleteRetainedRequest
	if err := r.Read(admin.Field{Name: "topic", To: &in.Topic}, admin.Field{Name: "filter", To: &in.Filter}); err != nil {
		return nil, err
	}
	var n int
	var err error
	switch {
	case (in.Topic == "") == (in.Filter == ""):
		return nil, admin.Bad("send topic, for one message, or filter, for those that it matches: one of the two")
	case in.Topic != "":
		r.Note("topic", in.Topic)
		n, err = h.actions.DeleteRetained(r.Context(), in.Topic)
	default:
		r.Note("filter", in.Filter)
		n, err = h.actions.DeleteRetainedMatching(r.Context(), in.Filter)
	}
	r.Note("done", strconv.Itoa(n))
	return hubapi.Done{Done: n}, err
}

func (h *handler) publish(r *admin.Request) (any, error) {
	var in hubapi.PublishRequest
	var p admin.Payload
	fields := append([]admin.Field{{Name: "topic", To: &in.Topic}}, p.Fields()...)
	err := r.Read(append(fields, admin.Field{Name: "qos", To: &in.QOS}, admin.Field{Name: "retain", To: &in.Retain})...)
	if err != nil {
		return nil, err
	}
	r.Note("topic", in.Topic)
	r.Note("qos", strconv.Itoa(in.QOS))
	r.Note("retain", strconv.FormatBool(in.Retain))
	payload, err := p.Bytes()
	if err != nil {
		return nil, err
	}
	r.Note("bytes", strconv.Itoa(len(payload)))
	if in.QOS < 0 || in.QOS > 2 {
		return nil, admin.Bad("qos: %d; use 0, 1 or 2", in.QOS)
	}
	m := &record.Message{Topic: in.Topic, Payload: payload, QOS: packet.QOS(in.QOS), Retain: in.Retain}
	return hubapi.Done{Done: 1}, h.actions.Publish(r.Context(), m)
}
