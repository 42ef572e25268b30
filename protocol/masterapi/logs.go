package masterapi

import "time"

// LogLine is a line of RouteLogs: what an instance has written. A line of more than 64 KiB comes in several.
type LogLine struct {
	Time     time.Time `json:"time"` // milliseconds; that of the line before for one that somebody else has written there
	Service  string    `json:"service"`
	Instance string    `json:"instance,omitempty"`
	Stream   string    `json:"stream,omitempty"`  // stdout, stderr, or log: what the master says of lines that were lost
	GoesOn   bool      `json:"goes_on,omitempty"` // the rest of the line before it of this instance and stream
	Text     string    `json:"text"`              // what is not UTF-8 is U+FFFD
}

// ServiceMaster is the name under which RouteLogs has the log of the master itself, if no service has that name.
const ServiceMaster = "master"
