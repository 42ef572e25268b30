package manager

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/metricstest"
	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/protocol/functionapi"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// A person sees functions and rules, and calls a function: with text and bytes, and with each way that it can fail.
func TestAdmin(t *testing.T) {
	dir, err := os.MkdirTemp("", "admin")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, masterapi.ServiceAdmin)
	m := start(t, startHub(t).address, strings.Replace(fmt.Sprintf(simple, 1, "3s"), "30s", "2s", 1)+`
  - {name: broken, service: broken}
  - {name: ending, service: ending-x, instance: {timeout: 2s, starttimeout: 2s}}
admin: {address: 'unix://`+path+"'}\n")
	c, err := http.NewClient(http.ClientConfig{Address: "unix://" + path, Timeout: time.Minute})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	mqtttest.Until(t, "the admin interface", func() bool { _, err := os.Stat(path); return err == nil })
	call := func(in functionapi.CallRequest) (out functionapi.CallAnswer, err error) {
		err = c.PostJSON(t.Context(), functionapi.Call, in, &out)
		return out, err
	}
	out, err := call(functionapi.CallRequest{Function: "f", Payload: "hello \"ü\""})
	require.NoError(t, err)
	require.Contains(t, out.Payload, `"in":"hello \"ü\""`)
	require.Contains(t, out.Payload, `"topic":"t"`)
	require.Equal(t, len(out.Payload), out.Size)
	require.Positive(t, out.Seconds)
	out, err = call(functionapi.CallRequest{Function: "f", Base64: []byte("\xff"), Topic: "a/b"})
	require.NoError(t, err)
	require.Contains(t, out.Payload, `"topic":"a/b"`)

	for _, x := range []struct {
		in     functionapi.CallRequest
		status int
		text   string
	}{
		{functionapi.CallRequest{Function: "f", Payload: "error x\x1b[2J"}, 422, "Exception calling application: x\x1b[2J"},
		{functionapi.CallRequest{Function: "f", Payload: "crash"}, 502, ""},
		{functionapi.CallRequest{Function: "f", Payload: "hang"}, 503, ""},
		{functionapi.CallRequest{Function: "f", Payload: "hang", Timeout: 0.3}, 503, "no answer within 300ms"},
		{functionapi.CallRequest{Function: "broken"}, 502, "package of broken is missing"},
		{functionapi.CallRequest{Function: "ending"}, 502, ""},
		{functionapi.CallRequest{Function: "g"}, 404, `there is no function "g"; functions has f, broken, ending`},
		{functionapi.CallRequest{Function: "f", Timeout: 56}, 400, "use up to 55"},
		{functionapi.CallRequest{Function: "f", Timeout: -1}, 400, "use up to 55"},
		{functionapi.CallRequest{Function: "f", Payload: "a", Base64: []byte("b")}, 400, "one of them"},
		{functionapi.CallRequest{Function: "f", Payload: strings.Repeat("x", 1<<20)}, 413, ""},
	} {
		_, err := call(x.in)
		var e *http.Error
		require.ErrorAs(t, err, &e, "%.80v", x.in)
		require.Equal(t, x.status, e.Status, "%.80v: %v", x.in, err)
		require.Contains(t, e.Message, x.text)
		require.NotEmpty(t, e.Message)
	}

	m.publish("in", 1, "x")
	m.await("out", 1)
	require.Contains(t, metricstest.Page(t, path), `baetyl_function_calls_total{function="f",result="ok"} `)
	var functions functionapi.List[functionapi.Function]
	require.NoError(t, c.Get(t.Context(), functionapi.Functions, &functions))
	require.Len(t, functions.Items, 3)
	f := functions.Items[0]
	require.Equal(t, "f", f.Name)
	require.GreaterOrEqual(t, f.Calls["ok"], uint64(3))
	require.Positive(t, f.Calls["error"])
	require.NotEmpty(t, f.LastError)
	require.Contains(t, functions.Items[1].LastError, "package of broken is missing")
	require.Positive(t, functions.Items[1].FailedStarts)
	var rules functionapi.List[functionapi.Rule]
	require.NoError(t, c.Get(t.Context(), functionapi.Rules, &rules))
	require.Len(t, rules.Items, 1)
	r := rules.Items[0]
	require.Equal(t, []any{"in", "f", "out", true, uint64(1)},
		[]any{r.Subscribe, r.Function, r.Publish, r.Connected, r.Results})
	require.Contains(t, m.stderr.String(), "path=/v1/functions/call")
}
