package sim_test

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/internal/sim"
)

var users = []string{"root", "ann", "bob"}

// action is something that happens, with its weight in each kind of world.
type action struct {
	name    string
	weights [kinds]int
	do      func(w *world)
}

// Kinds of worlds: what happens most.
const (
	calm = iota
	network
	power
	disk
	rules
	kinds
)

var actions = []action{
	{"connect", [kinds]int{30, 30, 30, 30, 30}, (*world).connect},
	{"publish", [kinds]int{80, 60, 60, 60, 60}, (*world).publish},
	{"flood", [kinds]int{0, 4, 0, 0, 0}, (*world).flood},
	{"subscribe", [kinds]int{12, 8, 8, 8, 16}, (*world).subscribe},
	{"unsubscribe", [kinds]int{2, 1, 1, 1, 2}, (*world).unsubscribe},
	{"retained", [kinds]int{10, 6, 10, 6, 6}, (*world).publishRetained},
	{"cut", [kinds]int{1, 12, 3, 2, 2}, (*world).cut},
	{"leave", [kinds]int{4, 4, 4, 2, 2}, (*world).leave},
	{"hold", [kinds]int{0, 4, 0, 0, 0}, (*world).hold},
	{"take over", [kinds]int{1, 8, 2, 2, 2}, (*world).takeOver},
	{"reading", [kinds]int{3, 8, 3, 3, 3}, (*world).changeReading},
	{"withhold", [kinds]int{4, 6, 4, 4, 4}, (*world).changeWithhold},
	{"discard", [kinds]int{1, 1, 1, 1, 1}, (*world).discard},
	{"kill", [kinds]int{1, 1, 4, 2, 1}, func(w *world) { w.die(false) }},
	{"power cut", [kinds]int{0, 0, 4, 2, 0}, func(w *world) { w.die(true) }},
	{"kill later", [kinds]int{0, 0, 4, 2, 0}, (*world).dieLater},
	{"stop", [kinds]int{1, 1, 2, 1, 1}, (*world).stop},
	{"disk errors", [kinds]int{0, 0, 0, 6, 0}, (*world).diskErrors},
	{"disk full", [kinds]int{0, 0, 0, 5, 0}, (*world).diskFull},
	{"new rights", [kinds]int{0, 0, 0, 0, 8}, (*world).reload},
	{"intrude", [kinds]int{2, 2, 2, 2, 2}, (*world).intrude},
	{"claim", [kinds]int{2, 2, 2, 2, 2}, (*world).claim},
	{"settle", [kinds]int{5, 5, 6, 5, 5}, (*world).settle},
	{"long time", [kinds]int{1, 1, 1, 1, 1}, (*world).longTime},
	{"garbage", [kinds]int{1, 2, 1, 1, 1}, (*world).garbage},
}

// run is the whole life of a world.
func run(t *testing.T, seed uint64, steps int) {
	synctest.Test(t, func(*testing.T) {
		w := newWorld(seed)
		kind := int(seed % kinds)
		for i := range 8 {
			c := &client{w: w, id: fmt.Sprintf("c%d", i), user: users[i%3], kept: i%4 != 3}
			if c.member = i == 4 || i == 5; c.member {
				c.user = "root"
			}
			w.clients = append(w.clients, c)
		}
		w.reload()
		w.open()
		total := 0
		for _, a := range actions {
			total += a.weights[kind]
		}
		for range steps {
			w.pause()
			if w.died.Load() {
				w.die(false)
			}
			if w.hub == nil {
				w.open()
				continue
			}
			n := w.rnd.IntN(total)
			for _, a := range actions {
				if n -= a.weights[kind]; n < 0 {
					a.do(w)
					break
				}
			}
		}
		w.finish()
		w.print(fmt.Sprintf("seed %d: right, %d messages, %d deliveries, %d lives, trace %016x",
			seed, len(w.messages), w.got, w.life, w.sum))
	})
}

// pause lets some time pass: mostly little.
func (w *world) pause() {
	most := []time.Duration{0, time.Millisecond, 10 * time.Millisecond, 200 * time.Millisecond, 2 * time.Second}
	if d := most[w.rnd.IntN(len(most))]; d > 0 {
		time.Sleep(time.Duration(w.rnd.Int64N(int64(d))))
		return
	}
	runtime.Gosched()
}

// with runs f for a client that may do it.
func (w *world) with(may func(*client) bool, f func(*client)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := w.rnd.IntN(len(w.clients))
	for i := range w.clients {
		if c := w.clients[(first+i)%len(w.clients)]; may(c) {
			f(c)
			return
		}
	}
}

func (w *world) connect() {
	w.with(func(c *client) bool { return c.cn == nil }, func(c *client) { c.connect(!c.kept, w.will(c)) })
}

// will returns a will for the next connection of a client, or nil.
func (w *world) will(c *client) *message {
	if w.rnd.IntN(3) > 0 {
		return nil
	}
	m := w.newMessage(c, "w/"+c.id, packet.QOS(w.rnd.IntN(3)))
	m.will, m.copies = true, 1
	return m
}

var names = []string{"a/0", "a/1", "b/0", "b/1", "c/0", "c/0/x"}

func (w *world) publish() {
	w.with((*client).ready, func(c *client) {
		for range 1 + w.rnd.IntN(1+w.rnd.IntN(12)) {
			if len(c.out) > 15 {
				return
			}
			name := names[w.rnd.IntN(len(names))]
			if c.user == "root" && w.rnd.IntN(5) == 0 {
				name = sharedTopic
			}
			if !w.rights[len(w.rights)-1].book.User(c.user).MayPublish(name) && w.rnd.IntN(20) > 0 {
				continue
			}
			c.send(name, packet.QOS(w.rnd.IntN(3)), false, false)
		}
	})
}

// flood publishes more than the hub takes at once from a client, or has room for at its receivers.
func (w *world) flood() {
	w.with((*client).ready, func(c *client) {
		name := names[w.rnd.IntN(len(names))]
		if !w.rights[len(w.rights)-1].book.User(c.user).MayPublish(name) {
			return
		}
		mixed := w.rnd.IntN(2) == 0
		for i := range 150 {
			qos := packet.QOS(0)
			if mixed && i%3 > 0 {
				qos = packet.QOS(i % 3)
			}
			c.send(name, qos, false, false)
		}
	})
}

// publishRetained publishes or removes a retained message.
func (w *world) publishRetained() {
	w.with((*client).ready, func(c *client) {
		name := names[w.rnd.IntN(len(names))]
		if len(c.out) > 15 || !w.rights[len(w.rights)-1].book.User(c.user).MayPublish(name) {
			return
		}
		c.send(name, packet.QOS(w.rnd.IntN(3)), true, w.rnd.IntN(5) == 0)
	})
}

var filters = []string{"a/#", "a/+", "a/1", "b/#", "b/0", "c/#", "+/0", "#", "w/#"}

func (w *world) subscribe() {
	w.with(func(c *client) bool { return c.ready() && len(c.cn.hooks) == 0 }, func(c *client) {
		if c.member {
			c.subscribe(sharedFilter, 1)
			return
		}
		filter := filters[w.rnd.IntN(len(filters))]
		may := w.rights[len(w.rights)-1].book.User(c.user).MaySubscribe(filter)
		if may || w.rnd.IntN(10) == 0 {
			c.subscribe(filter, packet.QOS(w.rnd.IntN(3)))
		}
	})
}

func (w *world) unsubscribe() {
	w.with(func(c *client) bool { return c.ready() && len(c.cn.hooks) == 0 && !c.member }, func(c *client) {
		for _, filter := range filters {
			if b := c.session.subs[filter]; b != nil && b.since != 0 && b.gone == 0 {
				c.unsubscribe(b)
				return
			}
		}
	})
}

// lose is the end of a connection without DISCONNECT, on the client's side. Called with mu.
func (w *world) lose(cn *connection) {
	cn.doubt = cn.doubt || cn.farewell == perhaps // DISCONNECT may be lost
	if cn.will != nil {
		cn.will.first = w.stamp()
		cn.lost = cn.accepted && !cn.conn.Ended() && cn.farewell == no && w.hub != nil && !w.fault && !cn.held
		cn.lost = cn.lost && w.always(cn.c.user, cn.opened, nobodyChanged)
	}
}

// cut breaks a connection, or ends it without DISCONNECT.
func (w *world) cut() {
	w.with(func(c *client) bool { return c.cn != nil }, func(c *client) {
		w.say("%s: cut", c.cn)
		w.lose(c.cn)
		if w.rnd.IntN(2) == 0 || !c.cn.accepted { // else CONNECT may come after that of the next connection
			c.cn.conn.Cut()
			return
		}
		_ = c.cn.conn.Close()
	})
}

// leave ends a connection with DISCONNECT.
func (w *world) leave() {
	w.with((*client).ready, func(c *client) {
		c.cn.doubt = c.cn.held || c.cn.conn.Ended() || w.fault
		c.cn.farewell = perhaps
		c.cn.send(packet.NewDisconnect())
		if w.rnd.IntN(2) == 0 {
			c.cn.doubt = true // the hub may find that it can't write before it reads DISCONNECT
			_ = c.cn.conn.Close()
		}
	})
}

// hold lets a connection stand still.
func (w *world) hold() {
	w.with((*client).ready, func(c *client) {
		w.say("%s: nothing arrives", c.cn)
		c.cn.held = true
		w.held = append(w.held, c.cn)
		c.cn.conn.Hold(true)
	})
}

func (w *world) takeOver() {
	w.with((*client).ready, func(c *client) {
		w.doubtWills()
		c.connect(!c.kept, w.will(c))
	})
}

func (w *world) changeReading() {
	w.with(func(*client) bool { return true }, func(c *client) {
		c.reading = reading(w.rnd.IntN(3))
		w.changed.Broadcast()
	})
}

func (w *world) changeWithhold() {
	w.with(func(*client) bool { return true }, func(c *client) { c.setWithhold(!c.withhold) })
}

func (c *client) setWithhold(withhold bool) {
	c.withhold = withhold
	if withhold || c.cn == nil {
		return
	}
	c.cn.send(c.cn.unsent...)
	c.cn.unsent = nil
}

// discard ends a kept session by a connection with clean session.
func (w *world) discard() {
	w.with(func(c *client) bool { return c.kept && !c.member && c.cn == nil && w.hub != nil }, func(c *client) {
		c.connect(true, nil)
		c.present = perhaps
	})
}

// garbage sends what is no packet on a connection of its own.
func (w *world) garbage() {
	near, far := w.net.Pair(sim.Link{})
	hub := w.hub
	w.tasks.Go(func() { hub.serve(far) })
	data := make([]byte, 1+w.rnd.IntN(40))
	for i := range data {
		data[i] = byte(w.rnd.Uint32())
	}
	_, _ = near.Write(data)
	time.Sleep(time.Duration(w.rnd.Int64N(int64(time.Second))))
	_ = near.Close()
}

// longTime lets minutes or hours pass. Hours pass with a sound disk: a run collects no garbage, and the hub tries each
// second to write its state.
func (w *world) longTime() {
	d := time.Minute + time.Duration(w.rnd.Int64N(int64(3*time.Hour)))
	if w.rnd.IntN(3) > 0 {
		d = time.Duration(w.rnd.Int64N(int64(2 * time.Minute)))
	}
	if w.seed%7 == 5 && d > time.Hour {
		d += retention // what waits is legally dropped
	}
	if d > 10*time.Minute {
		w.heal()
	}
	time.Sleep(d)
}
