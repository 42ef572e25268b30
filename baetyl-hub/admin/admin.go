// Package admin is the hub's admin interface: what the hub has, for persons, and a few things that they can do. It is
// the routes of protocol/hubapi, as package protocol/admin serves them:
//
//	request ─┬► Lists   ─► a page, or one answer
//	         ├► Actions ─► done, and a line in the log
//	         └► Watch   ─► a stream of messages
//
// It knows no MQTT and no connections of it; docs/hub.md describes what it answers. At most mostLists lists are made at
// a time, so that those who ask take little from those who publish.
package admin

import (
	"context"
	nethttp "net/http"

	"github.com/baetyl/baetyl/baetyl-hub/core"
	"github.com/baetyl/baetyl/baetyl-hub/record"
	"github.com/baetyl/baetyl/protocol/admin"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/hubapi"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/log"
)

// Lists are what the hub has. Methods are called from the goroutine of each request. The key is that of the next page;
// the zero value: there is none.
type Lists interface {
	Clients(q core.Query) ([]hubapi.Client, core.Key)
	Sessions(q core.Query) ([]hubapi.Session, core.Key)
	Subscriptions(q core.Query) ([]hubapi.Subscription, core.Key)
	Retained(q core.Query) ([]hubapi.RetainedMessage, core.Key)
	// Receivers are the sessions that get a message of the topic Query.Topic. Errors: core.ErrInvalid.
	Receivers(q core.Query) ([]hubapi.Receiver, core.Key, error)
	Counters() map[string]int64
	Access(user, client, action, topic string) hubapi.Decision
}

// Actions change something. Methods are called from the goroutine of each request, and return when it is done and
// stored, or the error of ctx. Errors: core.ErrNotFound, core.ErrChanging, core.ErrInvalid, core.ErrFull, others of the
// store.
type Actions interface {
	Kick(client, reason string) error
	DeleteSession(ctx context.Context, client string) error
	// DeleteRetained returns how many were deleted, also with an error.
	DeleteRetained(ctx context.Context, topic string) (int, error)
	DeleteRetainedMatching(ctx context.Context, filter string) (int, error)
	Publish(ctx context.Context, m *record.Message) error
}

// Watches show messages to a person.
type Watches interface {
	// Watch calls send for each message whose topic the filter matches, until ctx ends or send fails, and returns why.
	// With kept, the retained messages come first. Errors: core.ErrInvalid, before the first message.
	Watch(ctx context.Context, filter string, kept bool, begun func(), send func(*hubapi.Message) error) error
}

// mostLists is how many lists are made at a time. Others wait.
const mostLists = 2

type handler struct {
	lists   Lists
	actions Actions
	watches Watches
	making  chan struct{} // lists, up to mostLists; full: the request waits until its time is over
}

// New returns the interface.
func New(lists Lists, actions Actions, watches Watches, l log.Logger) admin.Interface {
	h := &handler{lists: lists, actions: actions, watches: watches, making: make(chan struct{}, mostLists)}
	get := func(call func(*admin.Request) (any, error), params ...string) admin.Route {
		return admin.Route{Method: nethttp.MethodGet, Params: params, Call: call}
	}
	post := func(call func(*admin.Request) (any, error)) admin.Route {
		return admin.Route{Method: nethttp.MethodPost, Call: call}
	}
	return admin.Interface{Module: masterapi.ModuleHub, Log: l, Meanings: meanings, Routes: map[string]admin.Route{
		hubapi.Clients:       list(h, infallible(lists.Clients), "user", "client"),
		hubapi.Sessions:      list(h, infallible(lists.Sessions), "user", "client"),
		hubapi.Subscriptions: list(h, infallible(lists.Subscriptions), "user", "client", "topic"),
		hubapi.Retained:      list(h, infallible(lists.Retained), "topic"),
		hubapi.Receivers:     list(h, lists.Receivers, "topic"),
		hubapi.Counters:      get(func(*admin.Request) (any, error) { return lists.Counters(), nil }),
		hubapi.Access:        get(h.access, "user", "client", "topic", "action"),
		hubapi.Messages: {Method: nethttp.MethodGet, Params: []string{hubapi.QueryFilter, hubapi.QueryKept},
			Stream: h.messages},
		hubapi.Kick:           post(h.kick),
		hubapi.DeleteSession:  post(h.deleteSession),
		hubapi.DeleteRetained: post(h.deleteRetained),
		hubapi.Publish:        post(h.publish),
	}}
}

// meanings is the one place where errors become statuses.
var meanings = []http.Meaning{
	{Err: core.ErrNotFound, Status: nethttp.StatusNotFound, Code: "not_found"},
	{Err: core.ErrInvalid, Status: nethttp.StatusBadRequest, Code: "bad_request"},
	{Err: core.ErrChanging, Status: nethttp.StatusConflict, Code: "conflict"},
	{Err: core.ErrFull, Status: nethttp.StatusInsufficientStorage, Code: "full"},
}
