package value_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/functiontest"
	"github.com/baetyl/baetyl/utils/sql/value"
)

// made returns o with its values made, and nothing copied.
func made(o value.Object) (out value.Object) {
	for i := range o {
		out.Set(o[i].Key, o[i].Value())
	}
	return out
}

// Text that is copied or rewritten is the same as that of values which were made, and what was checked has a value.
func FuzzCopy(f *testing.F) {
	for _, c := range functiontest.LoadPayloadCases(f, "sql") {
		f.Add([]byte(c.Payload(f)))
	}
	for _, s := range []string{
		`{"z":{"b":1,"a":[{"d":1,"c":2},{}]},"a":{"a":1,"b":{"c":1}}}`, `{"a":{"b" :1}}`, `{"a":[ ]}`, `{"a":{ }}`,
		`{"o":{"k":1,"a":2,"k":{"z":1,"y":2,"y":3}}}`, `{"a":{"\u0062":1,"a":"\/"}}`, `{"a":{"":1,"":2}}`, `{"a":[1 ,2]}`,
		`{"a":["\ud800",{"\udc00":1,"b":[]}]}`, `{"a":[{"b":1,"a":2},"x"],"b":[[[]]]}`, `{"a":[1,]}`, `{"a":{"b":1,}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		v, err := value.Decode(payload)
		if err != nil {
			return
		}
		require.True(t, json.Valid(payload))
		o, ok := v.(value.Object)
		if !ok {
			return
		}
		copied := string(value.Append(nil, v))
		require.Equal(t, string(value.Append(nil, made(o))), copied)
		require.Equal(t, copied, string(value.Append(nil, v)), "also when the values are there")
		again, err := value.Decode([]byte(copied))
		require.NoError(t, err)
		require.Equal(t, copied, string(value.Append(nil, again)))
	})
}

// A message that nests deep, with keys out of order at each level, takes no time out of proportion.
func BenchmarkDeep(b *testing.B) {
	text := strings.Repeat(`{"b":1,"a":`, value.MaxDepth-1) + fmt.Sprintf("%q", strings.Repeat("x", 1<<20)) +
		strings.Repeat("}", value.MaxDepth-1)
	payload := []byte(`{"m":` + text + `}`)
	b.SetBytes(int64(len(payload)))
	for b.Loop() {
		v, err := value.Decode(payload)
		require.NoError(b, err)
		value.Append(nil, v)
	}
}
