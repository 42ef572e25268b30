package mqtttest

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/256dpi/gomqtt/packet"
)

// complaints is how many a Numbered keeps.
const complaints = 5

// Number is the payload of a message with a number, 64 bytes long.
func Number(n int) []byte { return fmt.Appendf(nil, "%-64d", n) }

// Numbered checks what a session gets, if the messages of each topic have the numbers 1, 2, 3 …: none may be missing,
// and none may come twice at QoS 2. Its zero value has got nothing. Its methods may be called from any goroutine.
type Numbered struct {
	mu       sync.Mutex
	newest   map[string]int // by topic
	got      int
	repeated int
	wrong    []string
}

// Receive takes the next message.
func (x *Numbered) Receive(m *packet.Message) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.newest == nil {
		x.newest = map[string]int{}
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(m.Payload)))
	newest := x.newest[m.Topic]
	switch {
	case err != nil:
		x.complain("%s: payload %q", m.Topic, m.Payload)
	case n <= newest && m.QOS == packet.QOSExactlyOnce:
		x.complain("%s: message %d came twice at QoS 2", m.Topic, n)
	case n <= newest:
		x.repeated++
		return
	case n > newest+1:
		x.complain("%s: message %d came after %d", m.Topic, n, newest)
	}
	x.got++
	x.newest[m.Topic] = n
}

func (x *Numbered) complain(format string, args ...any) {
	if len(x.wrong) < complaints {
		x.wrong = append(x.wrong, fmt.Sprintf(format, args...))
	}
}

// Newest is the number of the newest message of a topic.
func (x *Numbered) Newest(topic string) int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.newest[topic]
}

// Count is how many messages have come, and how many of QoS 1 came again.
func (x *Numbered) Count() (got, repeated int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.got, x.repeated
}

// Wrong is what was wrong, the first few.
func (x *Numbered) Wrong() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return append([]string{}, x.wrong...)
}
