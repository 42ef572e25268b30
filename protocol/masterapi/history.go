package masterapi

import "time"

// Results of an application in the history.
const (
	ResultRunning    = "running"     // runs now
	ResultEnded      = "ended"       // ran, until another one took its place
	ResultRolledBack = "rolled_back" // the update failed, and the application before was put back
	ResultFailed     = "failed"      // the update failed, and the application before could not be put back completely
)

// HistoryEntry is an application that has run, or that an update has tried.
type HistoryEntry struct {
	Number int        `json:"number"`          // from 1; no number is given twice
	Began  time.Time  `json:"began"`           // when the update was accepted, or when the master has found the file
	Ended  *time.Time `json:"ended,omitempty"` // absent: it runs
	Result string     `json:"result"`          // Result…
	Reason string     `json:"reason,omitempty"`
	By     By         `json:"by"`              // who has asked for it; nobody: the file was found at a start
	Trace  string     `json:"trace,omitempty"` // of the update
	Revert int        `json:"revert,omitempty"`
	// of the application
	Version string `json:"version,omitempty"`
	SHA256  string `json:"sha256"` // of application.yml, in hex
	Size    int    `json:"size"`   // of application.yml, in bytes
	Kept    bool   `json:"kept"`   // its application.yml is kept: revert can bring it back
}

// History is the answer of RouteHistory, the newest entry first.
type History struct {
	Entries []HistoryEntry `json:"entries"`
}

// HistoryDetails is the answer of RouteHistoryEntry: an entry, and what it has changed.
type HistoryDetails struct {
	HistoryEntry
	Before int   `json:"before,omitempty"` // number of the entry that Plan starts from; 0: no application
	Plan   *Plan `json:"plan,omitempty"`   // absent when one of the two is not kept
}

// RevertRequest is the body of RouteRevert.
type RevertRequest struct {
	Number int    `json:"number,omitempty"` // of the entry that is to run again; 0: the last other one that ran well
	Trace  string `json:"trace,omitempty"`  // as that of an update
	Force  bool   `json:"force,omitempty"`  // as that of an update
}

// Reverted is the answer of RouteRevert: the update that has begun.
type Reverted struct {
	Number  int    `json:"number"` // of the entry that is to run again
	Version string `json:"version,omitempty"`
}
