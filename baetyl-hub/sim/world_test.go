package sim_test

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/auth"
	"github.com/baetyl/baetyl/internal/sim"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/topic"
)

const (
	sharedTopic  = "s/jobs"
	sharedFilter = "$share/g/s/#"
)

// world is one run.
type world struct {
	seed    uint64
	rnd     *rand.Rand // of the driver
	readers *rand.Rand // of clients that read slowly
	disk    *sim.Disk
	net     *sim.Net
	start   time.Time
	tasks   sync.WaitGroup // connections, at both ends
	trace   bool

	begun time.Time // the hub's life
	hub   *process  // nil: it does not run; of the driver
	fault bool      // the disk has faults; of the driver
	died  atomic.Bool

	mu       sync.Mutex // guards what follows and the clients
	changed  sync.Cond
	now      stamp
	life     int // of the hub
	crashes  int
	clients  []*client
	messages []*message
	retained map[string][]*message
	rights   []rights
	given    []*message        // given up by their publishers; the hub may still get them
	conns    []*connection     // with a will, whose end is not settled
	held     []*connection     // that stand still
	got      int               // PUBLISH packets that came
	seen     map[string]bool   // topics whose retained message the observer got
	owners   map[string]string // of the client ids that claim uses
	ending   bool
	sum      uint64 // of the trace
	tail     []string
}

func newWorld(seed uint64) *world {
	w := &world{
		seed: seed, rnd: sim.Rand(seed, 0), readers: sim.Rand(seed, 1), disk: sim.NewDisk(sim.Rand(seed, 2)),
		net: sim.NewNet(sim.Rand(seed, 3)), start: time.Now(), trace: os.Getenv("SIM_TRACE") != "",
		retained: map[string][]*message{}, owners: map[string]string{},
	}
	w.changed.L = &w.mu
	if w.trace {
		w.disk.Trace(func(op, name string, err error) {
			w.print(fmt.Sprintf("%12.6f  disk: %s %s %v", time.Since(w.start).Seconds(), op, name, err))
		})
	}
	syncs := sim.Rand(seed, 4)
	w.disk.Delay(func(name string) time.Duration {
		// The store syncs with a lock that its search for old messages needs: time would stand still if the two met.
		d := time.Since(w.begun) % cleanup
		if !strings.HasSuffix(name, ".seg") || d > cleanup-10*time.Millisecond || d == 0 {
			return 0
		}
		return time.Duration(syncs.Int64N(int64(3 * time.Millisecond)))
	})
	return w
}

// stamp is the next moment.
func (w *world) stamp() stamp {
	w.now++
	return w.now
}

// say writes a line of the trace. Called with mu.
func (w *world) say(format string, args ...any) {
	line := fmt.Sprintf("%12.6f  ", time.Since(w.start).Seconds()) + fmt.Sprintf(format, args...)
	h := fnv.New64a()
	fmt.Fprintf(h, "%x %s", w.sum, line)
	w.sum = h.Sum64()
	if w.trace {
		w.print(line)
	}
	if w.tail = append(w.tail, line); len(w.tail) > 400 {
		w.tail = append(w.tail[:0], w.tail[200:]...)
	}
}

// print writes a line without giving the processor away, as os.File does: a trace must not change the run.
func (w *world) print(line string) {
	b := []byte(line + "\n")
	_, _, _ = syscall.RawSyscall(syscall.SYS_WRITE, uintptr(syscall.Stdout), uintptr(unsafe.Pointer(&b[0])),
		uintptr(len(b)))
}

// fail ends the process: what is wrong stands in the last line. Called with mu.
func (w *world) fail(format string, args ...any) {
	w.say("WRONG: "+format, args...)
	if !w.trace {
		for _, line := range w.tail[max(0, len(w.tail)-40):] {
			w.print(line)
		}
	}
	w.print(fmt.Sprintf("seed %d: ", w.seed) + fmt.Sprintf(format, args...))
	os.Exit(1)
}

func (w *world) latency() time.Duration {
	return []time.Duration{0, time.Millisecond, 20 * time.Millisecond, 300 * time.Millisecond}[w.rnd.IntN(4)]
}

func (w *world) newMessage(c *client, name string, qos packet.QOS) *message {
	m := &message{n: len(w.messages), by: c, user: c.user, topic: name, qos: qos, at: time.Now()}
	w.messages = append(w.messages, m)
	return m
}

// payload is that of a message. Each hundredth is large.
func payload(m *message) []byte {
	if m.empty {
		return nil
	}
	n := m.n % 50
	if m.n%100 == 99 {
		n = 5000
	}
	return fmt.Appendf(nil, "m%d %s", m.n, strings.Repeat("x", n))
}

// logger puts the log of the hub into the trace.
type logger struct {
	w      *world
	fields string
}

func (l logger) WithField(key string, value any) log.Logger {
	return logger{l.w, fmt.Sprintf("%s %s=%v", l.fields, key, value)}
}
func (l logger) WithError(err error) log.Logger { return l.WithField("error", err) }

// line is not part of the sum: a log may name what differs from run to run, as temporary files.
func (l logger) line(level, text string) {
	if l.w.trace {
		l.w.print(fmt.Sprintf("%12.6f  hub: %s %s%s", time.Since(l.w.start).Seconds(), level, text, l.fields))
	}
}
func (l logger) Debugf(format string, args ...any) { l.line("debug", fmt.Sprintf(format, args...)) }
func (l logger) Infof(format string, args ...any)  { l.line("info", fmt.Sprintf(format, args...)) }
func (l logger) Warnf(format string, args ...any)  { l.line("warn", fmt.Sprintf(format, args...)) }
func (l logger) Errorf(format string, args ...any) { l.line("error", fmt.Sprintf(format, args...)) }
func (l logger) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (l logger) Debugln(args ...any)               { l.line("debug", fmt.Sprint(args...)) }
func (l logger) Infoln(args ...any)                { l.line("info", fmt.Sprint(args...)) }
func (l logger) Warnln(args ...any)                { l.line("warn", fmt.Sprint(args...)) }
func (l logger) Errorln(args ...any)               { l.line("error", fmt.Sprint(args...)) }
func (l logger) Fatalln(args ...any)               { panic(fmt.Sprint(args...)) }

// reload gives users rights as the seed says: root has all, the others some.
func (w *world) reload() {
	w.mu.Lock()
	list := []auth.Principal{{Username: "root", Password: "root", Permissions: []auth.Permission{
		{Action: auth.Publish, Permit: []string{"#"}}, {Action: auth.Subscribe, Permit: []string{"#"}},
	}}}
	for _, name := range users[1:] {
		p := auth.Principal{Username: name, Password: conf.Secret(name), Permissions: []auth.Permission{
			{Action: auth.Publish, Permit: []string{"w/#"}}, {Action: auth.Subscribe, Permit: []string{"z"}},
		}}
		for _, f := range []string{"a/#", "b/#", "c/#"} {
			for i := range p.Permissions {
				if w.rnd.IntN(3) > 0 {
					p.Permissions[i].Permit = append(p.Permissions[i].Permit, f)
				}
			}
		}
		list = append(list, p)
	}
	book, err := auth.New(list, topic.Limits{Length: 255, Levels: 8})
	if err != nil {
		panic(err)
	}
	w.say("new rights")
	w.rights = append(w.rights, rights{book: book, from: w.stamp()})
	w.mu.Unlock()
	if w.hub != nil {
		w.hub.setUsers(book)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.rights); n > 1 {
		w.rights[n-2].to = w.stamp()
	}
	w.doubtWills()
	for _, c := range w.clients {
		if c.session == nil {
			continue
		}
		for _, b := range c.session.subs {
			if !book.User(c.user).MaySubscribe(filterOf(b.filter)) {
				b.unsure = w.stamp()
			}
		}
	}
}
