package masterapi

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// OTALog is the log of the last update, relative to the master's working directory: one OTARecord a line, written by
// the master alone. It begins anew with the first record of an update with another trace and stays when the update
// has ended.
const OTALog = "var/db/baetyl/ota.log"

// Steps of an update, with who writes them.
const (
	StepReceived    = "RECEIVED"    // agent: the event is stored
	StepUpdating    = "UPDATING"    // master: the update is accepted
	StepRestarting  = "RESTARTING"  // master: it ends, so that its supervisor starts the new binary
	StepRestarted   = "RESTARTED"   // master: the new binary has come up
	StepRollingBack = "ROLLINGBACK" // master: it starts the previous application or binary again
	StepUpdated     = "UPDATED"     // master, final: the new application or binary is running
	StepRolledBack  = "ROLLEDBACK"  // master, final: the previous application or binary is running
	StepFailure     = "FAILURE"     // master, final: neither version runs; agent, final: the master was not asked
	StepTimeout     = "TIMEOUT"     // agent, final: no final record within its timeout
)

// Final tells whether step ends an update.
func Final(step string) bool {
	switch step {
	case StepUpdated, StepRolledBack, StepFailure, StepTimeout:
		return true
	}
	return false
}

// OTARecord is a line of OTALog.
type OTARecord struct {
	Time  time.Time `json:"time"`
	Level string    `json:"level"` // info or error
	Msg   string    `json:"msg"`   // for people
	Step  string    `json:"step"`
	Type  string    `json:"type"`  // UpdateApp or UpdateMaster
	Trace string    `json:"trace"` // of the request
	Error string    `json:"error,omitempty"`
}

// maxOTALine is more than the master writes in one record, in bytes.
const maxOTALine = 1 << 20

// ReadOTALog returns the records of r. A last line without its end is still being written, or was cut off by a power
// failure: it is left out. A whole line that is no record is an error; what stands before it is returned.
func ReadOTALog(r io.Reader) ([]OTARecord, error) {
	var records []OTARecord
	lines := bufio.NewReaderSize(r, maxOTALine)
	for n := 1; ; n++ {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return records, nil
		}
		if err != nil {
			return records, fmt.Errorf("read OTA log: line %d: %w", n, err)
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		var record OTARecord
		if err := json.Unmarshal(line, &record); err != nil {
			return records, fmt.Errorf("read OTA log: line %d: %w", n, err)
		}
		records = append(records, record)
	}
}
