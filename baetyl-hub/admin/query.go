package admin

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	nethttp "net/http"

	"github.com/baetyl/baetyl/baetyl-hub/core"
	"github.com/baetyl/baetyl/protocol/admin"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/hubapi"
)

// Entries of a page.
const (
	defaultLimit = 100
	mostLimit    = 1000
)

// infallible is get for list, as one that has no errors.
func infallible[T any](get func(core.Query) ([]T, core.Key)) func(core.Query) ([]T, core.Key, error) {
	return func(q core.Query) ([]T, core.Key, error) {
		items, next := get(q)
		return items, next, nil
	}
}

// list is the route of a list.
func list[T any](h *handler, get func(core.Query) ([]T, core.Key, error), params ...string) admin.Route {
	return admin.Route{Method: nethttp.MethodGet, Params: append(params, "limit", "after"),
		Call: func(r *admin.Request) (any, error) {
			q := core.Query{User: r.Query["user"], Client: r.Query["client"], Topic: r.Query["topic"]}
			var err error
			if q.Limit, err = r.Number("limit", defaultLimit, 1, mostLimit); err != nil {
				return nil, err
			}
			if text, ok := r.Query["after"]; ok {
				if q.After, err = decodeKey(text); err != nil {
					return nil, err
				}
			}
			select {
			case h.making <- struct{}{}:
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
			defer func() { <-h.making }()
			items, next, err := get(q)
			if items == nil {
				items = []T{} // in JSON a list, and not null
			}
			return hubapi.Page[T]{Items: items, Next: encodeKey(next)}, err
		}}
}

// encodeKey makes a text of a key that needs no encoding in a query; "": there is none.
func encodeKey(k core.Key) string {
	if k == (core.Key{}) {
		return ""
	}
	b, err := json.Marshal([]string{k.Client, k.Topic})
	if err != nil {
		panic("encode two texts: " + err.Error())
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func decodeKey(text string) (core.Key, error) {
	var parts []string
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err == nil {
		err = json.Unmarshal(b, &parts)
	}
	if err != nil || len(parts) != 2 {
		return core.Key{}, admin.Bad("after: %s does not come from this list; use next of the page before",
			admin.Quote(text))
	}
	return core.Key{Client: parts[0], Topic: parts[1]}, nil
}

func (h *handler) access(r *admin.Request) (any, error) {
	for _, name := range []string{"user", "topic", "action"} {
		if r.Query[name] == "" {
			return nil, admin.Bad("parameter %s is missing; use user, topic and action", name)
		}
	}
	action := r.Query["action"]
	if action != hubapi.ActionPublish && action != hubapi.ActionSubscribe {
		return nil, admin.Bad("action: %s; use %s or %s", admin.Quote(action), hubapi.ActionPublish,
			hubapi.ActionSubscribe)
	}
	return h.lists.Access(r.Query["user"], r.Query["client"], action, r.Query["topic"]), nil
}

// messages is the stream of what is published.
func (h *handler) messages(ctx context.Context, r *admin.Request, to *http.Stream) error {
	filter := r.Query[hubapi.QueryFilter]
	if filter == "" {
		return admin.Bad("parameter %s is missing; # is all topics but those that begin with $", hubapi.QueryFilter)
	}
	kept := false
	switch text := r.Query[hubapi.QueryKept]; text {
	case "", "false":
	case "true":
		kept = true
	default:
		return admin.Bad("%s: %s; use true or false", hubapi.QueryKept, admin.Quote(text))
	}
	err := h.watches.Watch(ctx, filter, kept, to.Open, func(m *hubapi.Message) error { return to.Send(m) })
	if errors.Is(err, core.ErrInvalid) {
		return admin.Bad("%s: %s", hubapi.QueryFilter, admin.Cut(err.Error(), admin.MaxQuoted))
	}
	return err
}
