package masterapi

// ContentArchive is the type of the answers of RouteBackup and RouteSupportBundle: a stream of a tar.gz without a
// length. One that is whole ends with an entry manifest.json; one that could not be finished ends with error.json, an
// Error, or is broken off.
const ContentArchive = "application/gzip"

// BackupRequest is the body of RouteBackup.
type BackupRequest struct {
	Logs bool `json:"logs,omitempty"` // also logs: var/log/baetyl, and volumes that are mounted below var/log alone
}

// Severities of a Finding, the mildest first.
const (
	SeverityOK      = "ok"
	SeverityInfo    = "info"    // a person may want to know
	SeverityWarning = "warning" // something is missing, or goes wrong soon
	SeverityError   = "error"   // something does not work
)

// Finding is what one check of a doctor has found.
type Finding struct {
	ID       string `json:"id"` // of the check, stable: docs/doctor.md
	Severity string `json:"severity"`
	Text     string `json:"text"`           // one line, for people
	Hint     string `json:"hint,omitempty"` // what to do
}

// Examination is the answer of RouteDoctor.
type Examination struct {
	Findings []Finding `json:"findings"`
}

// QueryNetwork of PathDoctor: true, also checks that reach for the network (names, brokers, the cloud). Otherwise none
// does.
const QueryNetwork = "network"
