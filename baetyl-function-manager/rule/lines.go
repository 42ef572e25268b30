package rule

import "slices"

// callLimit is how many messages of a rule the function gets at once; the others wait in the rule, so that rules with
// the same function take turns. It is more than the hub sends without an acknowledgement (100), so at QoS 1 the hub's
// limit is the one that is reached.
const callLimit = 128

// lines decides which messages begin, and in which order they end: one line for each key, one for each message that is
// not ordered. Messages of a line begin in the order of add, and finish in that order; lines are side by side. It is
// pure logic, and does not limit the number of messages, its caller does.
//
// depth is how many messages of a line may be with the function at once, and narrow how many while one of them is tried
// again: those that it has ended an instance with must not see what comes behind them.
type lines struct {
	depth, narrow func() int

	byKey map[string]*line // those that have messages
	ready []*line          // those that may have a message to begin
	begun int              // messages that are with the function
}

type line struct {
	key      string
	keyed    bool    // in lines.byKey
	listed   bool    // in lines.ready
	calls    []*call // not finished
	begun    int     // the first ones of calls, none of which waits
	epoch    int     // counts the times that calls were put back
	retrying int     // how many of calls are tried again
}

func newLines(depth, narrow func() int) *lines {
	return &lines{depth: depth, narrow: narrow, byKey: map[string]*line{}}
}

// add puts a message at the end of its line. If ordered is not set, it has a line of its own.
func (l *lines) add(key string, ordered bool, c *call) {
	q := l.byKey[key]
	if q == nil || !ordered {
		q = &line{key: key, keyed: ordered}
		if ordered {
			l.byKey[key] = q
		}
	}
	c.line = q
	q.calls = append(q.calls, c)
	l.list(q)
}

func (l *lines) list(q *line) {
	if !q.listed && q.begun < len(q.calls) {
		q.listed = true
		l.ready = append(l.ready, q)
	}
}

// next returns a message that begins now, or nil. The caller calls it until then, after each add, again and end.
func (l *lines) next() *call {
	for len(l.ready) > 0 && l.begun < callLimit {
		q := l.ready[0]
		if c := l.take(q); c != nil {
			l.begun++
			return c
		}
		l.ready[0] = nil
		l.ready = l.ready[1:]
		q.listed = false
	}
	return nil
}

func (l *lines) take(q *line) *call {
	width := l.depth()
	if q.retrying > 0 {
		width = l.narrow()
	}
	for q.begun < min(width, len(q.calls)) {
		c := q.calls[q.begun]
		if c.held || c.running && c.epoch != q.epoch && !c.retrying {
			return nil // it begins later, or is about to be put back; what comes behind it keeps its place
		}
		q.begun++
		if !c.ended && !c.running {
			c.running, c.epoch = true, q.epoch
			return c
		}
	}
	return nil
}

// release lets a message begin that was held when it was added.
func (l *lines) release(c *call) {
	c.held = false
	l.list(c.line)
}

// again puts a message back that has not been begun: its instance has ended.
func (l *lines) again(c *call) {
	l.begun--
	c.running = false
	if c.epoch == c.line.epoch {
		c.line.epoch++
	}
	for i, other := range c.line.calls[:c.line.begun] {
		if other == c {
			c.line.begun = i
			break
		}
	}
	l.list(c.line)
}

// behind returns the messages with the function that came after c and may be put back, the last one first.
func (l *lines) behind(c *call) (out []*call) {
	calls := c.line.calls
	from := slices.Index(calls, c) + 1
	for i := min(len(calls), from+callLimit) - 1; i >= from; i-- {
		if calls[i].running && !calls[i].retrying {
			out = append(out, calls[i])
		}
	}
	return out
}

// behindRetries tells whether as many of the line are tried again as may be: a start that fails is the end of one
// attempt for those, and not for all that wait behind them.
func (l *lines) behindRetries(c *call) bool { return !c.retrying && c.line.retrying >= l.narrow() }

// retry notes that a message is tried again. It stays begun.
func (l *lines) retry(c *call) {
	if !c.retrying {
		c.retrying = true
		c.line.retrying++
	}
}

// end notes that a message has ended. It returns those that finish now, in their order.
func (l *lines) end(c *call) (finished []*call) {
	q := c.line
	l.begun--
	c.ended, c.running = true, false
	if c.retrying {
		c.retrying = false
		q.retrying--
	}
	n := 0
	for n < len(q.calls) && q.calls[n].ended {
		n++
	}
	finished = q.calls[:n:n]
	q.calls = q.calls[n:]
	q.begun = max(q.begun-n, 0) // one that was put back may have been before others that have ended
	if len(q.calls) == 0 {
		if q.keyed {
			delete(l.byKey, q.key)
		}
		return finished
	}
	l.list(q)
	return finished
}
