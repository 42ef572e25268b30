package logs

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/logfile"
)

// Parse takes a line of a file apart; at has the time of the line before it, for lines that have none.
type parser func(line []byte, at time.Time) masterapi.LogLine

// ofService parses lines of the file of a service.
func ofService(service string) parser {
	return func(line []byte, at time.Time) masterapi.LogLine {
		e, ok := logfile.Parse(line)
		if !ok {
			return masterapi.LogLine{Time: at, Service: service, Text: string(line)}
		}
		return masterapi.LogLine{
			Time: e.At, Service: service, Instance: e.Instance, Stream: e.Stream, GoesOn: e.GoesOn, Text: string(e.Text),
		}
	}
}

// ofMaster parses lines of the master's own log, in either format. They stay as they are.
func ofMaster(line []byte, at time.Time) masterapi.LogLine {
	return masterapi.LogLine{Time: masterTime(line, at), Service: masterapi.ServiceMaster, Text: string(line)}
}

func masterTime(line []byte, at time.Time) time.Time {
	if rest, ok := bytes.CutPrefix(line, []byte(`time="`)); ok {
		stamp, _, _ := bytes.Cut(rest, []byte(`"`))
		if t, err := time.Parse(time.RFC3339Nano, string(stamp)); err == nil {
			return t
		}
		return at
	}
	var in struct {
		Time time.Time `json:"time"`
	}
	if bytes.HasPrefix(line, []byte("{")) && json.Unmarshal(line, &in) == nil && !in.Time.IsZero() {
		return in.Time
	}
	return at
}

// clean takes off what a power cut leaves of a block that was not written: NULs.
func clean(line []byte) []byte { return bytes.Trim(line, "\x00\r") }
