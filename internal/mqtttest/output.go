package mqtttest

import (
	"fmt"
	"sync"
)

// outputHalf is how many bytes of the beginning, and of the end, an Output keeps.
const outputHalf = 8 << 20

// Output collects what a process writes; it may be read meanwhile. Of much it keeps the beginning and the end: a
// process that writes for ever must not take the memory of the machine.
type Output struct {
	mu          sync.Mutex
	first, last []byte
	lost        int64 // bytes between them
}

// Write implements io.Writer.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := min(len(p), outputHalf-len(o.first))
	o.first = append(o.first, p[:n]...)
	o.last = append(o.last, p[n:]...)
	if more := len(o.last) - outputHalf; more > outputHalf { // seldom, since it moves all of them
		o.lost += int64(more)
		o.last = append(o.last[:0], o.last[more:]...)
	}
	return len(p), nil
}

// String returns what has come so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.lost == 0 {
		return string(o.first) + string(o.last)
	}
	return fmt.Sprintf("%s\n… %d bytes are left out …\n%s", o.first, o.lost, o.last)
}
