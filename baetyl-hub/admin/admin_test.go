package admin

import (
	nethttp "net/http"
	"net/http/httptest"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/core"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/hubapi"
	"github.com/baetyl/baetyl/utils/log"
)

// Keys of all names come back as they were.
func TestKeys(t *testing.T) {
	require.Empty(t, encodeKey(core.Key{}))
	for _, k := range []core.Key{
		{Client: "a"}, {Topic: "a/b"}, {Client: "\x001", Topic: `"\/`}, {Client: "é\u2028", Topic: "$share/g/#"},
	} {
		text := encodeKey(k)
		require.Equal(t, k, must(decodeKey(text)))
	}
}

func must(k core.Key, err error) core.Key {
	if err != nil {
		panic(err)
	}
	return k
}

// none has nothing and does nothing.
type none struct {
	Lists
	Actions
}

// Whoever cannot be told from others, as over tcp, gets nothing.
func TestUnknownPeer(t *testing.T) {
	h := New(none{}, none{}, func(http.Peer) error { return nil }, log.Discard())
	w := httptest.NewRecorder()
	r := httptest.NewRequest(nethttp.MethodGet, hubapi.Counters, nil)
	r.Host = "hub"
	h.ServeHTTP(w, r)
	require.Equal(t, nethttp.StatusForbidden, w.Code)
	require.Contains(t, w.Body.String(), "use the unix socket")
}

func FuzzDecodeKey(f *testing.F) {
	f.Add("WyJhIiwiYiJd")
	f.Fuzz(func(t *testing.T, text string) {
		if k, err := decodeKey(text); err == nil && k != (core.Key{}) {
			require.Equal(t, k, must(decodeKey(encodeKey(k))))
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{"topic":"a","payload_base64":"eA==","qos":1,"retain":true}`, `{"payload":"\ud83d\ude00"}`, `[]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var in hubapi.PublishRequest
		err := decode(body, []field{
			{"topic", &in.Topic}, {"payload", &in.Payload}, {"payload_base64", &in.Base64}, {"qos", &in.QOS},
			{"retain", &in.Retain},
		})
		if err != nil {
			require.Less(t, len(err.Error()), 2000)
			return
		}
		require.True(t, utf8.ValidString(in.Topic) && utf8.ValidString(in.Payload))
	})
}
