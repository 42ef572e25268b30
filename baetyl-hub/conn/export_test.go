package conn

import "time"

// Left is what tells whether a client has left.
var Left = left

// SetIdleAfter changes when a client counts as idle, until the result is called. No server may run at both times.
func SetIdleAfter(d time.Duration) (restore func()) {
	was := idleAfter
	idleAfter = d
	return func() { idleAfter = was }
}
