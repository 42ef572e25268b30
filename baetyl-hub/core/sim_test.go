package core_test

import (
	"fmt"
	"math/rand"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/budget"
	"github.com/baetyl/baetyl/baetyl-hub/core"
)

// Clients that follow the standard, over connections that break, beside a store that is slow, fails, is full or is
// killed. Nothing that is acknowledged is missing, QoS 2 comes once, each publisher's messages come in order, and the
// newest retained message is there. SEED=<n> runs one seed.
func TestRandomEvents(t *testing.T) {
	if s := os.Getenv("SEED"); s != "" {
		seed, err := strconv.ParseInt(s, 10, 64)
		require.NoError(t, err)
		randomEvents(t, seed)
		return
	}
	for seed := range int64(40) {
		randomEvents(t, seed)
		if t.Failed() {
			t.Fatalf("SEED=%d", seed)
		}
	}
}

func randomEvents(t *testing.T, seed int64) {
	x := rand.New(rand.NewSource(seed))
	r := newRig(t, func(o *core.Options) {
		o.Window, o.FetchMax, o.Ingress = 1+x.Intn(6), 1+x.Intn(6), 1+x.Intn(8)
		if seed%2 > 0 { // kept sessions lose nothing for want of memory
			o.Principal = budget.Values{budget.Memory: 48<<10 + x.Int63n(16<<10)}
		}
	})
	defer func() {
		if t.Failed() {
			t.Logf("SEED=%d", seed)
		}
	}()
	var subs []*receiver
	for i := range 3 {
		s := &receiver{r: r, x: x, id: fmt.Sprint("s", i), qos: packet.QOS(1 + i%2), open: map[packet.ID]bool{}}
		s.connect()
		s.p.send(sub(1, s.qos, "a/+"))
		require.Len(t, s.p.got(), 1)
		subs = append(subs, s)
	}
	var pubs []*publisher
	for i := range 3 {
		pubs = append(pubs, &publisher{r: r, x: x, name: fmt.Sprint("p", i), keeps: packet.QOS(1 + i%2)})
	}
	for range 400 {
		switch n := x.Intn(100); {
		case n < 40:
			pubs[x.Intn(3)].act()
		case n < 75:
			subs[x.Intn(3)].act()
		case n < 80:
			r.hold()
		case n < 90:
			if r.writing != nil && x.Intn(4) == 0 {
				r.fail = errDisk
				r.stored()
				r.fail = nil
			}
			r.release()
		case n < 92:
			r.room = [2]int64{200, 1 << 40}[x.Intn(2)]
			r.run()
		case n < 94:
			if r.holdRead = !r.holdRead; !r.holdRead {
				r.run()
			}
		case n < 96:
			if r.writing != nil && x.Intn(2) == 0 { // killed between write and answer
				r.disk.apply(t, r.writing.Records.Data)
			}
			r.restart()
		case n < 98 && r.holdWrite:
			r.failing(r.release)
		}
	}
	r.room, r.holdRead = 1<<40, false
	r.release()
	for n, idle := 0, 0; idle < 3; n++ { // sessions without memory try again after a second
		require.Less(t, n, 2000, "SEED=%d: the clients are never done: %v %v", seed, pubs, subs)
		busy := false
		for _, p := range pubs {
			busy = p.finish() || busy
		}
		for _, s := range subs {
			busy = s.finish() || busy
		}
		if idle++; busy {
			idle = 0
		}
		r.pass(time.Second)
	}
	late := r.subscribed(connect("late"), 0, "kept/+")
	list := late.got()
	for _, p := range pubs {
		if p.kept > 0 {
			require.Contains(t, list, fmt.Sprintf("kept/%s=%d retained", p.name, p.kept), "SEED=%d", seed)
		}
	}
	for _, s := range subs {
		s.check(t, seed, pubs)
	}
}

// outgoing is a message of a publisher that is not complete.
type outgoing struct {
	packet.Publish
	recorded bool // PUBREC came
}

// publisher sends numbered messages.
type publisher struct {
	r        *rig
	x        *rand.Rand
	name     string
	p        *peer
	open     []*outgoing
	n        int   // of the newest message
	acked    []int // by the hub, of those to a/<name>
	qos      map[int]packet.QOS
	kept     int // the newest retained message, all of which are acknowledged at the end
	retained []int
	keeps    packet.QOS // of retained messages
}

func (p *publisher) String() string { return fmt.Sprintf("%s: %d open", p.name, len(p.open)) }

func (p *publisher) act() {
	if p.x.Intn(15) == 0 && p.p != nil {
		p.p.cut()
	}
	p.read()
	if !p.ready() || len(p.open) > 5 {
		return
	}
	var list []packet.Generic
	for range 1 + p.x.Intn(3) {
		p.n++
		m := &outgoing{Publish: *pub(packet.ID(p.n), packet.QOS(1+p.x.Intn(2)), "a/"+p.name, strconv.Itoa(p.n))}
		if p.x.Intn(4) == 0 {
			m.Message.Topic, m.Message.Retain, p.kept = "kept/"+p.name, true, p.n
			m.Message.QOS = p.keeps // with both, a repetition at QoS 1 may come after a newer one at QoS 2
			p.retained = append(p.retained, p.n)
		} else {
			m.Message.Payload = append(m.Message.Payload, strings.Repeat(" ", p.x.Intn(3000))...)
		}
		if p.qos == nil {
			p.qos = map[int]packet.QOS{}
		}
		p.qos[p.n] = m.Message.QOS
		p.open = append(p.open, m)
		list = append(list, &m.Publish)
	}
	p.p.send(list...)
}

// ready connects if necessary, and sends again what is open. It tells whether the hub has answered.
func (p *publisher) ready() bool {
	if p.p == nil || p.p.closed || p.p.ended {
		p.p = p.r.start(kept(p.name))
	}
	if p.p.closed {
		p.p = nil
		return false
	}
	p.read()
	return p.p != nil && p.p.connected
}

func (p *publisher) read() {
	if p.p == nil {
		p.p = nil
		return
	}
	for f := p.p.frame(); f != nil; f = p.p.frame() {
		switch f := f.(type) {
		case *packet.Connack:
			if f.ReturnCode != 0 {
				continue
			}
			p.p.connected = true
			var list []packet.Generic
			for _, m := range p.open {
				if m.Dup = true; m.recorded {
					list = append(list, pubrel(m.ID))
				} else {
					list = append(list, &m.Publish)
				}
			}
			p.p.send(list...)
		case *packet.Puback:
			p.complete(f.ID)
		case *packet.Pubrec:
			for _, m := range p.open {
				if m.ID == f.ID {
					m.recorded = true
				}
			}
			p.p.send(pubrel(f.ID))
		case *packet.Pubcomp:
			p.complete(f.ID)
		}
	}
}

func (p *publisher) complete(id packet.ID) {
	p.open = slices.DeleteFunc(p.open, func(m *outgoing) bool { return m.ID == id })
	if !slices.Contains(p.acked, int(id)) {
		p.acked = append(p.acked, int(id))
	}
}

func (p *publisher) finish() (busy bool) {
	p.ready()
	return len(p.open) > 0
}

// receiver is a subscriber that acknowledges what it gets some time.
type receiver struct {
	r    *rig
	x    *rand.Rand
	id   string
	qos  packet.QOS
	p    *peer
	open map[packet.ID]bool // QoS 2 messages that are not released
	acks []packet.Generic   // to be sent on this connection
	got  []string           // new messages
}

func (s *receiver) String() string {
	return fmt.Sprintf("%s: %d got, open %v", s.id, len(s.got), s.open)
}

func (s *receiver) connect() {
	s.acks = nil
	if s.p = s.r.start(kept(s.id)); s.p.closed {
		s.p = nil
	}
	s.read()
}

func (s *receiver) act() {
	switch {
	case s.p == nil || s.p.closed || s.p.ended || s.x.Intn(12) == 0:
		s.connect()
		return
	case s.x.Intn(15) == 0:
		s.p.cut()
		return
	}
	s.read()
	if n := len(s.acks); n > 0 && s.x.Intn(2) == 0 {
		if s.x.Intn(3) == 0 {
			s.x.Shuffle(n, func(i, j int) { s.acks[i], s.acks[j] = s.acks[j], s.acks[i] })
		}
		n = 1 + s.x.Intn(n)
		list := s.acks[:n]
		s.acks = s.acks[n:]
		s.p.send(list...)
	}
}

func (s *receiver) read() {
	if s.p == nil {
		return
	}
	for f := s.p.frame(); f != nil; f = s.p.frame() {
		switch f := f.(type) {
		case *packet.Publish:
			if f.Message.QOS == 1 {
				s.got = append(s.got, f.Message.Topic+"="+strings.TrimRight(string(f.Message.Payload), " "))
				s.acks = append(s.acks, puback(f.ID))
				continue
			}
			if !s.open[f.ID] {
				s.got = append(s.got, f.Message.Topic+"="+strings.TrimRight(string(f.Message.Payload), " "))
			}
			s.open[f.ID] = true
			s.acks = append(s.acks, pubrec(f.ID))
		case *packet.Pubrel:
			delete(s.open, f.ID)
			s.acks = append(s.acks, pubcomp(f.ID))
		}
	}
}

func (s *receiver) finish() (busy bool) {
	if s.p == nil || s.p.closed || s.p.ended {
		s.connect()
	}
	s.read()
	busy = len(s.acks) > 0 || len(s.open) > 0
	list := s.acks
	s.acks = nil
	s.p.send(list...)
	s.read()
	return busy
}

func (s *receiver) check(t *testing.T, seed int64, pubs []*publisher) {
	for _, p := range pubs {
		seen := map[int]int{}
		last := 0
		for _, m := range s.got {
			var n int
			if _, err := fmt.Sscanf(m, "a/"+p.name+"=%d", &n); err != nil {
				continue
			}
			if seen[n]++; seen[n] == 1 {
				require.Greater(t, n, last, "SEED=%d: %s got %s out of order: %v", seed, s.id, m, s.got)
				last = n
			}
			if p.qos[n] == 2 && s.qos == 2 {
				require.Equal(t, 1, seen[n], "SEED=%d: %s got %s again: %v", seed, s.id, m, s.got)
			}
		}
		for _, n := range p.acked {
			if !slices.Contains(p.retained, n) {
				require.NotZero(t, seen[n], "SEED=%d: %s missed %d of %s", seed, s.id, n, p.name)
			}
		}
	}
}
