package pool

// State of an instance.
type State int

// States of an instance.
const (
	Free State = iota // no instance has this id
	Starting
	Idle
	Busy
	Stopping
	states
)

// String names a state.
func (s State) String() string {
	return [...]string{"free", "starting", "idle", "busy", "stopping"}[s]
}

// Kind of an action.
type Kind int

// Kinds of actions.
const (
	Start Kind = iota // start instance ID, then call Started or StartFailed
	Stop              // stop instance ID, at once if Kill is set, then call Stopped
	Grant             // Waiter has a place at instance ID, until Release or Broken is called
	Fail              // Waiter gets no instance; Err says why
)

// Action is something that the caller has to do.
type Action[W comparable] struct {
	Kind   Kind
	ID     int
	Waiter W
	Err    error
	Kill   bool // it has ended, or hangs: it is not asked to end by itself
}
