package masterapi_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

func TestReadOTALog(t *testing.T) {
	const first = `{"time":"2019-09-24T03:04:05Z",` +
		`"level":"info","msg":"m","step":"UPDATING","type":"APP","trace":"t"}` + "\n"
	const last = `{"time":"2019-09-24T03:04:06Z",` +
		`"level":"error","msg":"m","step":"ROLLEDBACK","type":"APP","trace":"t","error":"e"}` + "\n"
	for name, c := range map[string]struct {
		text  string
		steps []string
		err   string
	}{
		"empty":             {"", nil, ""},
		"whole":             {first + last, []string{"UPDATING", "ROLLEDBACK"}, ""},
		"half a last line":  {first + last[:40], []string{"UPDATING"}, ""},
		"no end of line":    {first + last[:len(last)-1], []string{"UPDATING"}, ""},
		"empty lines":       {"\n" + first + "\r\n\n", []string{"UPDATING"}, ""},
		"key of later days": {`{"step":"UPDATED","x":1}` + "\n", []string{"UPDATED"}, ""},
		"no record":         {first + "zzz\n" + last, []string{"UPDATING"}, "line 2"},
		"endless line":      {first + strings.Repeat("x", 2<<20), []string{"UPDATING"}, "line 2"},
	} {
		t.Run(name, func(t *testing.T) {
			records, err := masterapi.ReadOTALog(strings.NewReader(c.text))
			if c.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.err)
			}
			var steps []string
			for _, r := range records {
				steps = append(steps, r.Step)
			}
			require.Equal(t, c.steps, steps)
		})
	}
	records, err := masterapi.ReadOTALog(strings.NewReader(last))
	require.NoError(t, err)
	require.Equal(t, masterapi.OTARecord{
		Time: time.Date(
			2019,
			9,
			24,
			3,
			4,
			6,
			0,
			time.UTC,
		),
		Level: "error",
		Msg:   "m",
		Step:  "ROLLEDBACK",
		Type:  "APP",
		Trace: "t",
		Error: "e",
	}, records[0])
}

func TestFinal(t *testing.T) {
	for step, final := range map[string]bool{
		"RECEIVED": false, "UPDATING": false, "RESTARTING": false, "RESTARTED": false, "ROLLINGBACK": false, "": false,
		"UPDATED": true, "ROLLEDBACK": true, "FAILURE": true, "TIMEOUT": true,
	} {
		require.Equal(t, final, masterapi.Final(step), step)
	}
}

// Whatever stands in the file, what is read can be written and read again.
func FuzzReadOTALog(f *testing.F) {
	f.Add([]byte(`{"step":"UPDATED","trace":"t"}` + "\n" + `{"step"`))
	f.Fuzz(func(t *testing.T, data []byte) {
		records, _ := masterapi.ReadOTALog(bytes.NewReader(data))
		var out bytes.Buffer
		for _, r := range records {
			require.NoError(t, json.NewEncoder(&out).Encode(r))
		}
		again, err := masterapi.ReadOTALog(&out)
		require.NoError(t, err)
		require.Len(t, again, len(records))
	})
}
