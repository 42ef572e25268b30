package keeper

import "time"

// Protocol is the version of what keeper and master say to each other. A master of another version is not served: its
// keeper gives way to that program (Server).
const Protocol = 1

// EnvConn names the variable that tells a master on which descriptor its keeper listens. It is absent in a master
// without a keeper.
const EnvConn = "BAETYL_KEEPER_FD"

// Spec is a process to start. The keeper knows nothing of services: it runs a program and keeps what comes out.
type Spec struct {
	Handle string   // chosen by the master, unique as long as the keeper lives
	Path   string   // of the program; absolute. One below /proc is opened at once: <pid>/exe is that of now
	Args   []string // from arg[0] on
	Env    []string // complete
	Dir    string   // working directory; absolute
	// Launch is what the program finds on descriptor 3, a sealed file: what native/launch has to do before it becomes the
	// service's program. The program writes to descriptor 4, which its exec closes, "ok " right before that, or why it
	// cannot become that program.
	Launch []byte
	// Kept are names of kept descriptors (OpKeep). The program inherits them in this order, after those named before: from
	// 5 on, from 3 on without Launch.
	Kept   []string
	Cgroup string // folder of a cgroup v2 that the process is born in; empty: that of the keeper
	// Cgroups are folders of cgroups v1 that the program enters. What is in them, or in Cgroup, belongs to the process:
	// the keeper ends it too when it ends everything.
	Cgroups []string
	Grace   time.Duration // between SIGTERM and SIGKILL where the keeper has to end it; 0: that of Hello
	Output  Output
}

// Output is where lines of a process go.
type Output struct {
	File     string // absolute; several processes may share it
	Instance string // stands in each line
	Size     int    // megabytes after which the file is rotated
	Age      int    // days that a rotated file is kept
	Backups  int    // rotated files that are kept
}

// Process is what the keeper holds of one Spec until the master releases it.
type Process struct {
	Handle  string
	PID     int
	Started time.Time
	End     *End `json:",omitempty"` // nil: runs
}

// End is how a process ended. Its output is in the file, and in the tail, before the master learns it.
type End struct {
	At     time.Time
	Code   int // exit code; -1 when a signal ended it; 255 when nobody knows, since another one has reaped it
	Signal int // 0: by itself
}

// Trial is a candidate that the keeper runs in place of the master (documents: update of type MST).
type Trial struct {
	Candidate string        // program to try
	Program   string        // what it replaces, by one rename, when it has stayed up
	Deadline  time.Duration // until it is ready
	Healthy   time.Duration // that it stays up after that
	// Plain is a candidate of a version without a keeper. It says ready on descriptor 3 and hears go on 4. Nothing may be
	// held when it is tried; when it ends afterwards, the keeper ends with its status.
	Plain bool
}

// Request is one call of the master; each is answered by a Reply with the same ID, in any order.
type Request struct {
	ID      uint64
	Op      string // Op…
	Hello   *Hello `json:",omitempty"`
	Spec    *Spec  `json:",omitempty"` // OpStart
	Handle  string `json:",omitempty"` // OpSignal, OpTail, OpRelease, OpKeep
	Signal  int    `json:",omitempty"` // OpSignal
	Trial   *Trial `json:",omitempty"` // OpTry
	Trouble string `json:",omitempty"` // OpLeave, OpStop, OpStopped: the reason, for the log
	// Health comes with OpAlive, and is for the manager of services (systemd). nil in masters of a version before.
	Health *Health `json:",omitempty"`
}

// Health is how things are at a master.
type Health struct {
	Started bool   // each service of the application has been started once, or could not be
	Text    string // for persons, one line: systemctl status shows it
}

// The calls.
const (
	OpHello    = "hello"    // first of all; answered with all processes and, as descriptors, all kept files
	OpStart    = "start"    // answered when the program runs, or with why it cannot
	OpSignal   = "signal"   // to the process group of a process that has not been reaped
	OpTail     = "tail"     // the last lines of a process
	OpRelease  = "release"  // forget a process that has ended
	OpKeep     = "keep"     // hold a descriptor, which comes with the call, for the next master; without one: close it
	OpAlive    = "alive"    // the master decides still; without one for a minute it is killed and started again
	OpLeave    = "leave"    // the master ends soon and wants a successor
	OpTry      = "try"      // the same, and the successor is a candidate
	OpReady    = "ready"    // of a candidate: it serves; answered when it is the program, or was rejected
	OpReloaded = "reloaded" // the configuration has been read again (EventReload), or was refused
	OpStop     = "stop"     // stop everything, as SIGTERM to the keeper does; EventStop follows
	OpStopped  = "stopped"  // everything has ended; the keeper ends with the master
)

// Hello is what a master tells first.
type Hello struct {
	Protocol int
	Part     string        // digest of the keeper's code in its program; a keeper with another one replaces itself
	Grace    time.Duration // for services when the keeper has to stop them without a master
}

// Reply answers a Request.
type Reply struct {
	ID        uint64
	Error     string    `json:",omitempty"`
	Errno     int       `json:",omitempty"` // of the system call that failed, or ErrStopping
	Processes []Process `json:",omitempty"` // OpHello; OpStart: one
	Kept      []string  `json:",omitempty"` // OpHello: names of the descriptors that come with it
	Rejected  string    `json:",omitempty"` // OpHello: why the candidate before this master was rejected
	Candidate bool      `json:",omitempty"` // OpHello: this master is a candidate, and has to call OpReady
	Lines     []string  `json:",omitempty"` // OpTail
}

// Event is what the keeper tells unasked; its ID is 0.
type Event struct {
	Kind   string // Event…
	Handle string `json:",omitempty"` // EventEnded
	End    *End   `json:",omitempty"`
	Why    string `json:",omitempty"` // EventStop, EventLeave: the signal or the command
}

// The events.
const (
	EventEnded  = "ended"  // of a process
	EventStop   = "stop"   // stop everything, in order, then OpStopped
	EventReload = "reload" // read conf.yml again (SIGHUP)
	EventLeave  = "leave"  // end and leave everything running
)
