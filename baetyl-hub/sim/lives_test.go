package sim_test

import (
	"sync/atomic"
	"time"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/auth"
)

// stopLimit is how long the hub may take to end.
const stopLimit = 5 * time.Minute

// open starts the hub. With faults of the disk it may fail.
func (w *world) open() {
	w.mu.Lock()
	w.say("hub: start")
	book := w.rights[len(w.rights)-1].book
	w.mu.Unlock()
	w.died.Store(false)
	w.begun = time.Now()
	p, err := startHub(w.disk, book, logger{w: w})
	if err != nil && !w.fault && !w.died.Load() {
		w.mu.Lock()
		w.fail("the hub does not start: %v", err)
	}
	if err != nil {
		w.heal()
		return
	}
	w.hub = p
}

// heal ends the faults of the disk.
func (w *world) heal() {
	w.disk.Errors(0)
	w.disk.Limit(0)
	w.fault = false
}

// die kills the hub, or cuts the power.
func (w *world) die(cut bool) {
	if w.hub == nil { // it died while it opened the store
		w.died.Store(false)
		return
	}
	w.mu.Lock()
	w.say("hub: killed, power cut %v", cut)
	if cut {
		w.disk.Cut()
	} else {
		w.disk.Kill()
	}
	w.life++
	w.crashes++
	w.doubtWills()
	for _, c := range w.clients {
		if c.session == nil || !cut {
			continue
		}
		for _, r := range c.session.got {
			r.settled = false // a cursor need not be synced
		}
	}
	w.mu.Unlock()
	w.endHub(w.hub.kill)
}

// endHub waits until the hub has ended. What its clients gave up is over then.
func (w *world) endHub(end func()) {
	ended := new(atomic.Bool)
	limit := time.AfterFunc(stopLimit, func() {
		if !ended.Load() {
			w.mu.Lock()
			w.fail("the hub does not end within %s", stopLimit)
		}
	})
	end()
	ended.Store(true)
	limit.Stop()
	w.hub = nil
	w.died.Store(false)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.given {
		m.ended = w.stamp()
	}
	w.given = nil
}

// dieLater kills the hub at one of its next operations on the disk.
func (w *world) dieLater() { w.disk.KillAfter(1+w.rnd.IntN(30), func() { w.died.Store(true) }) }

// stop is a clean stop.
func (w *world) stop() {
	w.mu.Lock()
	w.say("hub: stop")
	w.life++
	w.doubtWills()
	w.mu.Unlock()
	w.endHub(w.hub.stop)
}

func (w *world) diskErrors() {
	if w.fault {
		w.heal()
		return
	}
	w.beginFault()
	w.disk.Errors([]float64{0.05, 0.3, 1}[w.rnd.IntN(3)])
}

func (w *world) diskFull() {
	if w.fault {
		w.heal()
		return
	}
	w.beginFault()
	w.disk.Limit(w.disk.Size() + w.rnd.Int64N(200<<10))
}

func (w *world) beginFault() {
	w.fault = true
	w.mu.Lock()
	defer w.mu.Unlock()
	w.say("disk: faults")
	w.doubtWills()
}

// nobodyChanged is for always: it tells that the user is there.
func nobodyChanged(*auth.User) bool { return true }

// doubtWills is for what may change the end of wills whose connection has just ended. Called with mu.
func (w *world) doubtWills() {
	for _, cn := range w.conns {
		cn.doubt = cn.doubt || cn.farewell == perhaps
		cn.lost = false
	}
}

// settle waits until the hub has done all that was asked of it, and notes what is certain then.
func (w *world) settle() {
	if w.fault {
		w.heal()
	}
	w.mu.Lock()
	life := w.life
	var acked []*receipt
	for _, c := range w.clients {
		if c.session == nil {
			continue
		}
		for _, r := range c.session.got {
			if r.acked && !r.on.conn.Ended() && !r.on.held {
				acked = append(acked, r)
			}
		}
	}
	w.ping()
	w.mu.Unlock()
	time.Sleep(5 * time.Second)
	var wrong error
	if w.hub != nil {
		wrong = w.hub.checkBudget()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.died.Load() || w.life != life {
		return
	}
	w.say("settled")
	if wrong != nil {
		w.fail("%v", wrong)
	}
	for _, r := range acked {
		r.settled = r.acked && !r.on.conn.Ended()
	}
	for _, name := range names {
		for _, m := range w.retained[name] {
			if m.qos == 0 && m.acked == 0 && m.on.answered > m.first && !m.on.conn.Ended() {
				m.acked = w.stamp() // the hub has taken it, and had time to store it
				m.ended = m.acked
			}
		}
	}
	left := w.conns[:0]
	for _, cn := range w.conns {
		switch {
		case !cn.ended:
			left = append(left, cn)
		case cn.lost && !cn.doubt && cn.will.acked == 0:
			cn.will.acked = w.stamp()
		case cn.farewell == perhaps && !cn.doubt:
			cn.farewell = sure
		}
	}
	w.conns = left
}

// ping lets all connections last a keep-alive more. Called with mu.
func (w *world) ping() {
	for _, c := range w.clients {
		if c.ready() {
			c.cn.pings = append(c.cn.pings, w.stamp())
			c.cn.send(packet.NewPingreq())
		}
	}
}

// rest lets everything come to rest: all clients are connected and read, and everything is acknowledged.
func (w *world) rest() {
	w.heal()
	for range 60 {
		if w.died.Load() {
			w.die(false)
		}
		if w.hub == nil {
			w.open()
		}
		done := true
		w.mu.Lock()
		got := w.got
		for _, c := range w.clients {
			c.reading = readsAll
			w.changed.Broadcast()
			switch {
			case c.cn == nil:
				c.connect(!c.kept, nil)
				done = false
			case c.cn.held:
				c.cn.conn.Cut()
				done = false
			case !c.cn.accepted || len(c.out) > 0:
				done = false
			default:
				c.setWithhold(false)
			}
		}
		w.ping()
		w.mu.Unlock()
		time.Sleep(20 * time.Second)
		w.mu.Lock()
		done = done && got == w.got
		w.mu.Unlock()
		if done {
			return
		}
	}
	w.mu.Lock()
	for _, c := range w.clients {
		w.say("%s: connection %v, %d publications are not complete", c.id, c.cn, len(c.out))
	}
	w.fail("the hub does not come to rest")
}

// finish ends the run: what must have come is checked, and that nothing of it comes again after another start.
func (w *world) finish() {
	w.disk.KillAfter(1<<30, func() {})
	w.settle()
	w.rest()
	w.settle()
	w.mu.Lock()
	w.complete()
	w.mu.Unlock()
	if w.rnd.IntN(2) == 0 {
		w.stop()
	} else {
		w.die(false)
	}
	w.rest()
	w.observe()
	if w.seed%10 == 0 {
		w.backlog()
	}
	w.mu.Lock()
	w.ending = true
	w.changed.Broadcast()
	w.mu.Unlock()
	w.stop()
	w.mu.Lock()
	for _, cn := range w.held {
		cn.conn.Cut()
	}
	w.mu.Unlock()
	w.tasks.Wait()
	time.Sleep(5 * time.Second) // goleveldb's last goroutine
}

// observe lets a new client have all retained messages, and checks them.
func (w *world) observe() {
	w.mu.Lock()
	c := &client{w: w, id: "observer", user: "root"}
	w.clients = append(w.clients, c)
	c.connect(true, nil)
	w.mu.Unlock()
	time.Sleep(5 * time.Second)
	w.mu.Lock()
	c.subscribe("#", 1)
	w.seen = map[string]bool{}
	w.mu.Unlock()
	time.Sleep(5 * time.Second)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range names {
		if m := w.missing(name, w.stamp()); m != nil && !w.seen[name] {
			w.fail("%s is not there as retained message", m)
		}
	}
}
