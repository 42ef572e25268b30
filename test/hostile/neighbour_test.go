//go:build linux

package hostile_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"
)

// pause is the time between two messages of the neighbour.
const pause = 20 * time.Millisecond

// neighbourOf is set in the process of the neighbour: the address of the hub.
const neighbourOf = "HOSTILE_NEIGHBOUR"

// latest is how long the neighbour waits at most for messages of its own, at the end of a period.
const latest = time.Minute

// TestMain is also the main function of the neighbour, which must not share a process with the attacker: it would wait
// for its own processor, not for the hub.
func TestMain(m *testing.M) {
	address := os.Getenv(neighbourOf)
	if address == "" {
		os.Exit(m.Run())
	}
	if err := live(&hub{address: address}, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "the neighbour:", err)
		os.Exit(1)
	}
}

// times is how long messages took.
type times struct {
	Messages    int
	Median, P99 time.Duration
}

// neighbour is the process of a client that behaves.
type neighbour struct {
	in  io.WriteCloser
	out *bufio.Scanner
	cmd *exec.Cmd
}

func meet(t *testing.T, h *hub) *neighbour {
	t.Helper()
	n := &neighbour{cmd: exec.CommandContext(t.Context(), os.Args[0])}
	n.cmd.Env = append(os.Environ(), neighbourOf+"="+h.address)
	n.cmd.Stderr = os.Stderr
	var err error
	n.in, err = n.cmd.StdinPipe()
	require.NoError(t, err)
	out, err := n.cmd.StdoutPipe()
	require.NoError(t, err)
	n.out = bufio.NewScanner(out)
	require.NoError(t, n.cmd.Start())
	return n
}

// during lets the neighbour send messages while something happens for d, and tells how long they took. It fails if one
// is missing, or if the neighbour has lost its connection.
func (n *neighbour) during(t *testing.T, d time.Duration, what func(ctx context.Context)) times {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), d)
	defer stop()
	n.tell(t)
	what(ctx)
	<-ctx.Done()
	n.tell(t)
	require.True(t, n.out.Scan(), "the neighbour has ended: %v", n.out.Err())
	var x times
	require.NoError(t, json.Unmarshal(n.out.Bytes(), &x))
	require.NotZero(t, x.Messages)
	return x
}

// tell begins a period, or ends it.
func (n *neighbour) tell(t *testing.T) {
	t.Helper()
	_, err := io.WriteString(n.in, "\n")
	require.NoError(t, err, "the neighbour has ended")
}

func (n *neighbour) leave(t *testing.T) {
	t.Helper()
	require.NoError(t, n.in.Close())
	require.NoError(t, n.cmd.Wait())
}

// client is the neighbour in its process: it sends itself a message of QoS 1 every pause, over one connection.
type client struct {
	*line
	mu    sync.Mutex
	sent  map[int]time.Time // those that have not come back
	next  int
	took  []time.Duration
	ended error
	none  chan struct{} // has an element when sent is empty, or the connection has ended
}

// live sends messages between each line of in and the next, and writes their times to out. It ends with in.
func live(h *hub, in io.Reader, out io.Writer) error {
	l, err := h.dial("good", "neighbour", true, nil)
	if err != nil {
		return err
	}
	c := &client{line: l, sent: map[int]time.Time{}, none: make(chan struct{}, 1)}
	if err := c.send(subscribe("good/t", 1)); err != nil {
		return err
	}
	go c.read()
	lines := make(chan struct{})
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(in); s.Scan(); {
			lines <- struct{}{}
		}
	}()
	for range lines {
		x, err := c.period(lines)
		if err != nil {
			return err
		}
		if err := json.NewEncoder(out).Encode(x); err != nil {
			return err
		}
	}
	return c.send(&packet.Disconnect{})
}

func (c *client) read() {
	for {
		x, err := c.line.read()
		if err != nil {
			c.mu.Lock()
			c.ended = fmt.Errorf("its connection has ended: %w", err)
			c.mu.Unlock()
			c.wake()
			return
		}
		p, ok := x.(*packet.Publish)
		if !ok {
			continue
		}
		_ = c.send(&packet.Puback{ID: p.ID})
		number, _, _ := strings.Cut(string(p.Message.Payload), " ")
		i, _ := strconv.Atoi(number)
		c.mu.Lock()
		if at, ok := c.sent[i]; ok {
			c.took = append(c.took, time.Since(at))
			delete(c.sent, i)
		}
		none := len(c.sent) == 0
		c.mu.Unlock()
		if none {
			c.wake()
		}
	}
}

func (c *client) wake() {
	select {
	case c.none <- struct{}{}:
	default:
	}
}

// period sends messages until end has an element, and waits for those that are on their way.
func (c *client) period(end <-chan struct{}) (times, error) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for going := true; going; {
		select {
		case <-tick.C:
			if err := c.publish(); err != nil {
				return times{}, err
			}
		case <-end:
			going = false
		}
	}
	late := time.NewTimer(latest)
	defer late.Stop()
	for {
		c.mu.Lock()
		missing, err, took := len(c.sent), c.ended, c.took
		if missing == 0 {
			c.took = nil
		}
		c.mu.Unlock()
		switch {
		case err != nil:
			return times{}, err
		case missing == 0 && len(took) > 0:
			slices.Sort(took)
			return times{len(took), took[len(took)/2], took[len(took)*99/100]}, nil
		}
		select {
		case <-c.none:
		case <-late.C:
			return times{}, fmt.Errorf("%d messages have not come within %s", missing, latest)
		}
	}
}

func (c *client) publish() error {
	c.mu.Lock()
	c.next++
	i := c.next
	c.sent[i] = time.Now()
	c.mu.Unlock()
	payload := strconv.Itoa(i) + " " + strings.Repeat("x", 100)
	return c.send(&packet.Publish{
		ID:      packet.ID(2 + i%60000),
		Message: packet.Message{Topic: "good/t", QOS: 1, Payload: []byte(payload)},
	})
}
