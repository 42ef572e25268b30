package admin

import (
	"encoding/base64"
	"encoding/json"
	nethttp "net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/baetyl/baetyl/baetyl-hub/core"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/hubapi"
)

// Entries of a page.
const (
	defaultLimit = 100
	mostLimit    = 1000
)

// Bytes of texts of a caller in an answer or in a line of the log.
const (
	maxQuoted  = 200
	maxMessage = 600
)

func cut(text string, most int) string {
	if len(text) > most {
		return strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

func quote(text string) string { return strconv.Quote(cut(text, maxQuoted)) }

// bad is the error of a request that its sender has to change.
func bad(format string, args ...any) *http.Error {
	return http.Errorf(nethttp.StatusBadRequest, "bad_request", format, args...)
}

// parse reads the query, each of whose parameters is one of names, once.
func (r *request) parse(names []string) error {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return bad("query: %s; encode what is not a letter or a digit as %%XX (curl: -G --data-urlencode)",
			cut(err.Error(), maxQuoted))
	}
	r.query = map[string]string{}
	for name, list := range values {
		switch {
		case !slices.Contains(names, name) && len(names) == 0:
			return bad("parameter %s: this path takes none", quote(name))
		case !slices.Contains(names, name):
			return bad("parameter %s is not known; use %s", quote(name), strings.Join(names, ", "))
		case len(list) > 1:
			return bad("parameter %s stands %d times; use it once", name, len(list))
		case !utf8.ValidString(list[0]):
			return bad("parameter %s is not UTF-8, so it is no name that the hub can have", name)
		}
		r.query[name] = list[0]
	}
	return nil
}

// list is the route of a list.
func list[T any](h *handler, get func(core.Query) ([]T, core.Key), prefixes ...string) route {
	return route{nethttp.MethodGet, append(prefixes, "limit", "after"), func(r *request) (any, error) {
		q := core.Query{
			Limit: defaultLimit, User: r.query["user"], Client: r.query["client"], Topic: r.query["topic"],
		}
		if text, ok := r.query["limit"]; ok {
			n, err := strconv.Atoi(text)
			if err != nil || n < 1 || n > mostLimit {
				return nil, bad("limit: %s is not a number from 1 to %d", quote(text), mostLimit)
			}
			q.Limit = n
		}
		if text, ok := r.query["after"]; ok {
			after, err := decodeKey(text)
			if err != nil {
				return nil, err
			}
			q.After = after
		}
		select {
		case h.making <- struct{}{}:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
		defer func() { <-h.making }()
		items, next := get(q)
		if items == nil {
			items = []T{} // in JSON a list, and not null
		}
		return hubapi.Page[T]{Items: items, Next: encodeKey(next)}, nil
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
		return core.Key{}, bad("after: %s does not come from this list; use next of the page before", quote(text))
	}
	return core.Key{Client: parts[0], Topic: parts[1]}, nil
}

func (h *handler) access(r *request) (any, error) {
	for _, name := range []string{"user", "topic", "action"} {
		if r.query[name] == "" {
			return nil, bad("parameter %s is missing; use user, topic and action", name)
		}
	}
	action := r.query["action"]
	if action != hubapi.ActionPublish && action != hubapi.ActionSubscribe {
		return nil, bad("action: %s; use %s or %s", quote(action), hubapi.ActionPublish, hubapi.ActionSubscribe)
	}
	return h.lists.Access(r.query["user"], r.query["client"], action, r.query["topic"]), nil
}
