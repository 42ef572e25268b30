package masterapi

// Actions of a plan on a service.
const (
	ActionPlanStart   = "start"   // it is new
	ActionPlanStop    = "stop"    // it is not there any more
	ActionPlanRestart = "restart" // it is another one
	ActionPlanKeep    = "keep"    // its process and token stay
)

// Actions of a plan on what has a name.
const (
	ActionAdded   = "added"
	ActionRemoved = "removed"
	ActionChanged = "changed"
)

// PlanRequest is the body of RoutePlan: one of the two.
type PlanRequest struct {
	Application string `json:"application,omitempty"` // text of an application.yml
	Path        string `json:"path,omitempty"`        // as that of an update
}

// Plan is what an update to an application would do. Nothing is done, pulled or written for it.
type Plan struct {
	Version  string          `json:"version,omitempty"` // of the new application
	Changed  bool            `json:"changed"`           // an update stops or starts something
	Services []PlannedChange `json:"services"`          // in the order of start, those that go last
	Volumes  []NamedChange   `json:"volumes,omitempty"` // that are new, gone or others
	Networks []NamedChange   `json:"networks,omitempty"`
	Images   []NamedChange   `json:"images,omitempty"`
	Warnings []string        `json:"warnings,omitempty"`
	Errors   []string        `json:"errors,omitempty"` // for each of these an update would be refused
}

// PlannedChange is what happens to a service, and why.
type PlannedChange struct {
	Name    string       `json:"name"`
	Action  string       `json:"action"`            // Action…
	Reasons []PlanReason `json:"reasons,omitempty"` // of ActionPlanRestart
	Stopped *Stopped     `json:"stopped,omitempty"` // it is stopped by hand, and ActionPlanKeep leaves it so
}

// NamedChange is a volume, a network or an image that is not the same.
type NamedChange struct {
	Name    string       `json:"name"`
	Action  string       `json:"action"`            // ActionAdded, …
	Reasons []PlanReason `json:"reasons,omitempty"` // of changed
}

// PlanReason is a value that differs. Values that may be secret are three stars.
type PlanReason struct {
	Path string `json:"path"` // in the new file: services[2].env.X
	Old  string `json:"old,omitempty"`
	New  string `json:"new,omitempty"`
	Line int    `json:"line,omitempty"` // of the new file, from 1; 0: the value is not in it
}

// UpdateState is the answer of GET on PathUpdate: the update that runs, or the last one.
type UpdateState struct {
	Running bool         `json:"running"`
	Type    string       `json:"type,omitempty"`  // UpdateApp or UpdateMaster; empty: there was none
	Trace   string       `json:"trace,omitempty"` // of the request
	Steps   []UpdateStep `json:"steps,omitempty"` // those after QueryAfter
	Seen    int          `json:"seen"`            // for QueryAfter of the next call
	// Step of the end: StepUpdated, StepRolledBack or StepFailure; empty while it runs
	Result string `json:"result,omitempty"`
	Reason string `json:"reason,omitempty"` // why it has not become what was asked for
}

// UpdateStep is something that an update has done, or does now.
type UpdateStep struct {
	Time  string `json:"time"`           // RFC 3339
	Step  string `json:"step,omitempty"` // Step…, of those in OTALog; empty for what is between them
	Text  string `json:"text"`           // for people
	Error string `json:"error,omitempty"`
}
