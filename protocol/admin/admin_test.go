package admin

import (
	nethttp "net/http"
	"net/http/httptest"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/utils/log"
)

// Whoever cannot be told from others, as over tcp, gets nothing.
func TestUnknownPeer(t *testing.T) {
	i := Interface{Module: "hub", Log: log.Discard(), Routes: map[string]Route{"/": {Method: nethttp.MethodGet}}}
	h := New(i, func(http.Peer) error { return nil })
	w := httptest.NewRecorder()
	r := httptest.NewRequest(nethttp.MethodGet, "/", nil)
	r.Host = "hub"
	h.ServeHTTP(w, r)
	require.Equal(t, nethttp.StatusForbidden, w.Code)
	require.Contains(t, w.Body.String(), "use the unix socket")
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{"topic":"a","payload_base64":"eA==","qos":1,"retain":true}`, `{"payload":"\ud83d\ude00"}`, `[]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var topic string
		var qos int
		var retain bool
		var p Payload
		err := decode(body, append(p.Fields(), Field{"topic", &topic}, Field{"qos", &qos}, Field{"retain", &retain}))
		if err != nil {
			require.Less(t, len(err.Error()), 2000)
			return
		}
		require.True(t, utf8.ValidString(topic) && utf8.ValidString(p.Text))
	})
}
