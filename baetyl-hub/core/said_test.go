package core_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/core"
	"github.com/baetyl/baetyl/utils/log"
)

// page is a log.
type page struct{ bytes.Buffer }

// lines returns the lines since the last call that contain all of these texts.
func (p *page) lines(parts ...string) (list []string) {
	text := p.String()
	p.Reset()
next:
	for _, line := range strings.Split(text, "\n") {
		for _, x := range parts {
			if !strings.Contains(line, x) {
				continue next
			}
		}
		list = append(list, line)
	}
	return list
}

func logged(t *testing.T, change ...func(*core.Options)) (*rig, *page) {
	out := &page{}
	return newRig(t, append(change, func(o *core.Options) { o.Log = log.NewTo(out, log.Config{}) })...), out
}

// Takeovers are logged once a minute of a client, with the number of the others.
func TestTakeoversInTheLog(t *testing.T) {
	r, out := logged(t)
	r.connect(connect("a"))
	for range 100 {
		r.connect(connect("a"))
	}
	r.connect(connect("b"))
	r.connect(connect("b"))
	lines := out.lines("another connection has taken over the session")
	require.Len(t, lines, 2)
	require.Contains(t, lines[0], "clientid=a ")
	require.Contains(t, lines[0], "user=u")
	require.NotContains(t, lines[0], "not_logged")
	require.Contains(t, lines[1], "clientid=b ")
	r.pass(time.Minute)
	r.connect(connect("a"))
	require.Len(t, out.lines("clientid=a ", "not_logged=99 "), 1)
	require.EqualValues(t, 102, r.Stats().TakenOver)
}

// Refused filters, and messages that could not be stored, are logged once a minute of a client.
func TestRefusalsInTheLog(t *testing.T) {
	r, out := logged(t)
	p := r.connect(connect("a"))
	for i := range 300 {
		p.send(sub(packet.ID(i+1), 0, fmt.Sprintf("a/#/%d", i)))
	}
	require.Len(t, out.lines("subscription refused", "clientid=a ", "user=u"), 1)
	r.pass(time.Minute)
	p.send(sub(1, 0, "a/#/b"))
	require.Len(t, out.lines("subscription refused", "not_logged=299"), 1)

	r.subscribed(kept("s"), 1, "t").cut()
	for range 3 {
		p := r.connect(connect("other"))
		r.failing(func() { p.send(pub(1, 1, "t", "x")) })
	}
	require.Len(t, out.lines("could not be stored", "clientid=other "), 1)
}

// The ends of silent and of slow connections are logged apart from each other, and of clients without id by address.
func TestTimeoutsInTheLog(t *testing.T) {
	r, out := logged(t)
	for _, id := range []string{"a", "a", ""} {
		written := fmt.Errorf("write: %w", core.ErrWriteTimeout)
		for _, err := range []error{core.ErrKeepAlive, written, errors.New("x"), io.EOF} {
			r.Closed(r.connect(connect(id)).c, err)
		}
	}
	text := out.String()
	for part, times := range map[string]int{
		core.ErrKeepAlive.Error(): 2, core.ErrWriteTimeout.Error(): 2, "connection closed": 6, "clientid=a": 3, "user=u": 6,
	} {
		require.Equal(t, times, strings.Count(text, part), part+"\n"+text)
	}
	require.EqualValues(t, 3, r.Stats().KeepAlive)
	require.EqualValues(t, 3, r.Stats().Slow)
}

// However many clients there are, few lines come in a minute. A reload, which somebody has asked for, tells of each.
func TestManyClientsInTheLog(t *testing.T) {
	r, out := logged(t, func(o *core.Options) { o.ConnectionsMax = 10000 })
	for i := range 1000 {
		r.Closed(r.connect(connect(fmt.Sprint(i))).c, core.ErrKeepAlive)
	}
	require.Len(t, out.lines("nothing came"), 60)
	x := connect("x")
	x.Username = "v" // another user's lines are its own
	r.Closed(r.connect(x).c, core.ErrKeepAlive)
	require.Len(t, out.lines("nothing came", "clientid=x"), 1)
	for i := range 1000 {
		r.connect(connect(fmt.Sprint(i)))
	}
	r.users = book(t, permit("v", all, all))
	r.SetUsers(r.users)
	require.Len(t, out.lines("the user was removed or changed"), 1000)
}

// The first message that a client loses is logged at once, and then once a minute how many there were for which reason.
func TestLossesInTheLog(t *testing.T) {
	r, out := logged(t, func(o *core.Options) {
		o.QueueMax, o.EgressQOS0, o.Window, o.ClientRate.Messages, o.Retention = 3, 2, 1, 1000, time.Hour
	})
	r.subscribed(kept("away"), 1, "t").cut()
	s := r.subscribed(connect("s"), 0, "t")
	s.slow = true
	by := r.connect(connect("by"))
	for range 10 {
		by.send(pub(1, 1, "t", "x"))
	}
	lines := out.lines("messages dropped")
	require.Len(t, lines, 2)
	require.Contains(t, lines[0]+lines[1], "1 since its queue is full (session.queue.max)")
	require.Contains(t, lines[0]+lines[1], "1 since the client reads too slowly (message.egress.qos0.buffer)")
	r.pass(time.Minute)
	lines = out.lines("messages dropped")
	require.Len(t, lines, 2)
	require.Contains(t, lines[0]+lines[1], "6 since its queue is full")
	for _, x := range lines {
		require.Contains(t, x, "user=u")
		require.True(t, strings.Contains(x, "clientid=away") || strings.Contains(x, "clientid=s"), x)
	}
	r.pass(5 * time.Minute)
	require.Empty(t, out.lines("messages dropped"))

	by.send(series(0, 0, 2000)...)
	r.pass(time.Minute)
	require.Len(t, out.lines("since it publishes faster than its rate", "clientid=by"), 2)
	by.send(pub(1, 1, "t", "x"))
	require.Len(t, out.lines("clientid=away", "1 since its queue is full"), 1)
	by.send(pub(1, 1, "t", "x"))
	r.connect(&packet.Connect{ClientID: "away", CleanSession: true, Username: "u", Version: 4})
	require.Empty(t, out.lines("clientid=away"))
	r.pass(time.Hour)
	require.Empty(t, out.lines("messages dropped", "clientid=away"))
}

// Clients that come, lose something and go do not fill the log.
func TestLossesOfManyClients(t *testing.T) {
	r, out := logged(t, func(o *core.Options) { o.ClientRate.Messages = 1 })
	for i := range 2000 {
		p := r.connect(connect(fmt.Sprint(i)))
		p.send(series(0, 0, 3)...)
		p.cut()
	}
	require.LessOrEqual(t, len(out.lines("messages dropped")), 60)
	r.pass(time.Minute)
	r.connect(connect("x")).send(series(0, 0, 3)...)
	require.Len(t, out.lines("messages dropped", "not_logged"), 1)
}
