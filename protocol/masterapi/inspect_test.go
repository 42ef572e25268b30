package masterapi_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// What an instance reports stands beside the master's keys and cannot replace one of them.
func TestReportedKeys(t *testing.T) {
	in := masterapi.Instance{
		Name:    "a",
		Status:  masterapi.StatusRunning,
		Process: &masterapi.Process{ID: 7, Name: "x"},
		Reported: map[string]json.RawMessage{
			"stats":   []byte(`{"n":1}`),
			"process": []byte(`{"id":1}`),
			"error":   []byte(`"forged"`),
			"Status":  []byte(`"x"`),
		},
	}
	data, err := json.Marshal(in)
	require.NoError(t, err)
	require.JSONEq(t, `{"name":"a","status":"running","process":{"id":7,"name":"x"},"stats":{"n":1}}`, string(data))
	var out masterapi.Instance
	require.NoError(t, json.Unmarshal(data, &out))
	require.Equal(t, map[string]json.RawMessage{"stats": []byte(`{"n":1}`)}, out.Reported)
	require.Equal(t, in.Process, out.Process)
}

// A key added to Instance has to be reserved too.
func TestEveryKeyIsReserved(t *testing.T) {
	typ := reflect.TypeFor[masterapi.Instance]()
	for i := range typ.NumField() {
		key, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
		if key != "-" {
			require.True(t, masterapi.Reserved(key), key)
		}
	}
}
