package update

import (
	"github.com/baetyl/baetyl/master/ota"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// State is what lies on disk between two writes of an update: wherever the master is killed, the next start finds one
// of these. Each write leads to the next state in one step, since it is one rename or one removal.
//
//	type APP                                                   type MST
//
//	idle                                                       idle ──► stray candidate (copied, checked) ──► …
//	 │ first line of the log                                    │ first line of the log
//	announced                                                  announced
//	 │ record                                                   │ record
//	app accepted ──► ended (prepare failed)                    master accepted
//	 │ backup, new file                                         │ start counted ◄┐
//	app swapped ───── why it failed ──► app undoing            master tried ─────┴─ maxStarts ──► master exhausted
//	 │ backup removed                    │ backup put back      │ rename │ why it failed            │ why it failed
//	app committed                       app undone              │        └──► stray candidate ◄─────┘
//	 │ final line                        │ final line           │              │ candidate removed
//	ended ◄──────────────────────────────┘                     master committed   master given up
//	 │ record removed                                           │ final line      │ final line
//	idle                                                       ended ◄────────────┘ ──► idle
//
// What two masters exchange is the record (starts, failed) and the rename, which the keeper does: it only says when.
type State string

// The states. A backup is application.yml.old, a candidate is <program>.new.
const (
	Idle           State = "idle"            // nothing
	StrayBackup    State = "stray backup"    // a backup that no record wants, as when it could not be put back
	DamagedBackup  State = "damaged backup"  // a backup that is no application
	StrayCandidate State = "stray candidate" // a candidate that was not accepted, or was given up
	Announced      State = "announced"       // the log has begun, there is no record, or a damaged one
	AppAccepted    State = "app accepted"    // record; the application is the old one
	AppSwapped     State = "app swapped"     // record, backup; the application is the old or the new one
	AppCommitted   State = "app committed"   // record; the application is the new one
	AppUndoing     State = "app undoing"     // record with the reason, backup
	AppUndone      State = "app undone"      // record with the reason; the application is the old one
	// record with the reason; the application is the new one: its backup was damaged. It runs when nothing else is left,
	// and then it is what the final line says
	AppStuck        State = "app stuck"
	MasterAccepted  State = "master accepted"  // record, candidate
	MasterTried     State = "master tried"     // record with starts, candidate
	MasterExhausted State = "master exhausted" // record with maxStarts, candidate: the last try runs, or was interrupted
	MasterCommitted State = "master committed" // record; the program is the new one
	MasterGivenUp   State = "master given up"  // record, perhaps with the reason; the program is the old one
	Ended           State = "ended"            // record of an update that has its final line
	Unreadable      State = "unreadable"       // the disk does not say; no backup
)

// action is one step of a restart.
type action string

const (
	nothing  action = "nothing"
	putBack  action = "restore the previous application.yml"
	setAside action = "move the damaged application.yml.old aside"
	discard  action = "remove the new master that was not accepted"
	giveUp   action = "reject the new master" // record why, which makes it a stray candidate
	try      action = "try the new master"    // by resume; a candidate that finds this at its own start goes on

	// By toStart, which knows it.
	restore action = "restore the last good application"

	// When the application has been started: remove the record, since inspect shows the failure from then on, or write
	// the final line.
	forget action = "remove the record of the last update"
	end    action = "end the update"
)

// restart is what a start does in a state, and the states that this can lead to, also when it is killed or cannot be
// completed.
type restart struct {
	do    action
	final string // of end: the step
	next  []State
}

// restarts says what a start does in each state. It takes steps until the action is nothing, or one that has to wait
// until the application has been started.
var restarts = map[State]restart{
	Idle:            {do: nothing},
	Unreadable:      {do: nothing}, // the next start looks again
	DamagedBackup:   {do: setAside, next: afterSetAside},
	StrayBackup:     {do: putBack, next: []State{Idle, StrayCandidate, Announced, Ended}},
	AppSwapped:      {do: putBack, next: []State{StrayCandidate, AppAccepted, AppCommitted}},
	AppUndoing:      {do: putBack, next: []State{StrayCandidate, AppUndone, AppStuck}},
	StrayCandidate:  {do: discard, next: afterDiscard},
	Announced:       {do: end, final: masterapi.StepRolledBack, next: []State{Idle}},
	AppAccepted:     {do: end, final: masterapi.StepRolledBack, next: []State{Ended, Idle}},
	AppCommitted:    {do: end, final: masterapi.StepUpdated, next: []State{Ended, Idle}},
	AppUndone:       {do: end, final: masterapi.StepRolledBack, next: []State{Ended, Idle}},
	AppStuck:        {do: restore, final: masterapi.StepUpdated, next: []State{AppUndone, Ended, Idle}},
	MasterAccepted:  {do: try, next: []State{MasterTried, StrayCandidate, MasterGivenUp}},
	MasterTried:     {do: try, next: afterTry},
	MasterExhausted: {do: giveUp, next: []State{MasterCommitted, StrayCandidate, MasterGivenUp}},
	MasterCommitted: {do: end, final: masterapi.StepUpdated, next: []State{Ended, Idle}},
	MasterGivenUp:   {do: end, final: masterapi.StepRolledBack, next: []State{Ended, Idle}},
	Ended:           {do: forget, next: []State{Idle, Announced}},
}

// What is left after a candidate was tried, and when there is no candidate, or no backup, any more.
var (
	afterTry      = []State{MasterTried, MasterExhausted, MasterCommitted, StrayCandidate, MasterGivenUp}
	afterDiscard  = []State{Idle, Announced, AppAccepted, AppCommitted, AppUndone, AppStuck, MasterGivenUp, Ended}
	afterSetAside = append([]State{StrayCandidate, MasterAccepted, MasterTried, MasterExhausted, MasterCommitted},
		afterDiscard...)
)

// maxStarts is how often a candidate is started. It is started again only when the machine or the program that tries it
// went down meanwhile.
const maxStarts = 3

// facts are what a state follows from.
type facts struct {
	unreadable bool // something else could not be read
	backup     backup
	candidate  bool       // is there
	update     ota.Update // of the record; without one, of the log. Without a type there is none
	announced  bool       // there is no record, and the log has no final line
	ended      bool       // the record is that of an update that has ended
	reason     string     // why that one failed
	inPlace    bool       // the application, or the program, is that of the update
}

// state names the facts.
func (f facts) state() State {
	failed := f.update.Failed != ""
	switch {
	case f.backup == backupDamaged:
		return DamagedBackup
	case f.backup == backupWhole && f.open(masterapi.UpdateApp) && failed:
		return AppUndoing
	case f.backup == backupWhole && f.open(masterapi.UpdateApp):
		return AppSwapped
	case f.backup == backupWhole:
		return StrayBackup
	case f.unreadable:
		return Unreadable
	case f.candidate && (!f.open(masterapi.UpdateMaster) || failed):
		return StrayCandidate
	case f.ended:
		return Ended
	case f.announced:
		return Announced
	case f.open(masterapi.UpdateApp):
		return f.ofApp(failed)
	case f.open(masterapi.UpdateMaster):
		return f.ofMaster(failed)
	}
	return Idle
}

// open tells whether there is a record of that type whose update has not ended.
func (f facts) open(kind string) bool { return f.update.Type == kind && !f.announced && !f.ended }

func (f facts) ofApp(failed bool) State {
	switch {
	case failed && f.inPlace:
		return AppStuck
	case failed:
		return AppUndone
	case f.inPlace:
		return AppCommitted
	}
	return AppAccepted
}

func (f facts) ofMaster(failed bool) State {
	switch {
	case f.candidate && f.update.Starts >= maxStarts:
		return MasterExhausted
	case f.candidate && f.update.Starts > 0:
		return MasterTried
	case f.candidate:
		return MasterAccepted
	case f.inPlace && !failed:
		return MasterCommitted
	}
	return MasterGivenUp
}
