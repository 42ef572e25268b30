//go:build unix

package native

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/baetyl/baetyl/utils/log"
)

// Limits of what instances hand over. The keeper passes 200 descriptors to the next master, and some are the master's.
const (
	maxSockets    = 16  // of one instance
	maxAllSockets = 100 // of all
)

// keptSockets and keptNotify begin the names of what the keeper keeps for the engine.
const (
	keptPrefix  = "native/"
	keptSockets = keptPrefix + "socket/" // <service>/<instance>/<number>/<FDNAME>
	keptNotify  = keptPrefix + "notify/" // <service>/<instance>
)

// sockets are the listening sockets that instances have handed over. The next life of an instance inherits them, so
// that no other program gets a port meanwhile, and with it what clients send. They belong to the name of an instance,
// as long as the application has one of that name, and survive its program, this master and the keeper's exec.
//
//	instance runs ─ends─► connections wait ─waitLimit─► connections are closed ─starts─► they are its own again
//	                          └──────────────starts──────────────────────────────────────────┘
//
// A port that was free again when an instance is given up would be there to be taken by whoever has made it crash. So
// it is held all the same, but clients are not left waiting for nobody: after waitLimit, which is about as long as they
// wait for an answer, each connection is closed at once. drop lets a port go.
type sockets struct {
	keeper Keeper
	log    log.Logger
	wait   time.Duration // waitLimit

	mu     sync.Mutex // guards what follows; taken after no other lock but that of a notifier's instance
	all    map[instanceKey]*heritage
	notify map[instanceKey]*os.File // of instances of earlier masters, until they are adopted or ended
}

// heritage is what belongs to one name.
type heritage struct {
	list  []socket
	runs  bool
	count int         // of all that there were, for names
	timer *time.Timer // until connections are closed; nil: none
	stop  func()      // of sendAway; nil: they are not closed
}

// socket is one that listens.
type socket struct {
	name string // FDNAME
	kept string // its name at the keeper
	file *os.File
}

// newSockets takes over what the keeper has kept for the master before.
func newSockets(k Keeper, kept map[string]*os.File, l log.Logger) *sockets {
	s := &sockets{
		keeper: k, log: l, wait: waitLimit, all: map[instanceKey]*heritage{}, notify: map[instanceKey]*os.File{},
	}
	names := make([]string, 0, len(kept))
	for name := range kept {
		names = append(names, name)
	}
	slices.Sort(names) // the order in which they were handed over, for each instance
	for _, name := range names {
		if rest, ok := strings.CutPrefix(name, keptNotify); ok {
			service, instance, _ := strings.Cut(rest, "/")
			s.notify[instanceKey{service, instance}] = kept[name]
		} else if rest, ok := strings.CutPrefix(name, keptSockets); ok {
			s.takeOver(name, rest, kept[name])
		}
	}
	return s
}

// Forget closes what the keeper has kept for an engine, in a master of another mode.
func Forget(k Keeper, kept map[string]*os.File) error {
	for name, f := range kept {
		if !strings.HasPrefix(name, keptPrefix) {
			continue
		}
		_ = f.Close()
		if err := k.Keep(name, nil); err != nil {
			return fmt.Errorf("let go the ports of native services: %w", err)
		}
	}
	return nil
}

func (s *sockets) takeOver(kept, rest string, f *os.File) {
	part := strings.SplitN(rest, "/", 4)
	var n int
	if len(part) == 4 {
		_, _ = fmt.Sscanf(part[2], "%d", &n)
	}
	if n == 0 || !listens(number(f)) { // not written by us, or of no use
		s.letGo(socket{kept: kept, file: f})
		return
	}
	of := s.of(instanceKey{part[0], part[1]})
	of.list, of.count = append(of.list, socket{part[3], kept, f}), max(of.count, n)
}

// of returns what belongs to a name. The caller holds mu, or is alone.
func (s *sockets) of(key instanceKey) *heritage {
	of := s.all[key]
	if of == nil {
		of = &heritage{}
		s.all[key] = of
	}
	return of
}

// begin returns what the next life of an instance inherits: names for it, and those at the keeper. What its last life
// has made of a socket that does not listen any more is let go.
func (s *sockets) begin(key instanceKey) (names, kept []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.of(key)
	of.rest()
	of.runs = true
	of.list = slices.DeleteFunc(of.list, func(x socket) bool {
		useless := !listens(number(x.file))
		if useless {
			s.letGo(x)
		}
		return useless
	})
	for _, x := range of.list {
		names, kept = append(names, x.name), append(kept, x.kept)
	}
	return names, kept
}

// adopted notes that an instance of an earlier master runs, and returns its notify socket; nil: there is none.
func (s *sockets) adopted(key instanceKey) *os.File {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.of(key)
	of.rest()
	of.runs = true
	f := s.notify[key]
	delete(s.notify, key)
	return f
}

// keepNotify lets the notify socket of an instance outlive this master.
func (s *sockets) keepNotify(key instanceKey, f *os.File) error {
	return s.keeper.Keep(keptNotify+key.service+"/"+key.instance, f)
}

// add takes a socket, whatever comes of it. One that is there already is no error.
func (s *sockets) add(key instanceKey, name string, fd int) error {
	if !listens(fd) {
		setAside([]int{fd})
		return fmt.Errorf("%s is no socket that listens", name)
	}
	f := os.NewFile(uintptr(fd), name)
	s.mu.Lock()
	defer s.mu.Unlock()
	of, total := s.of(key), 0
	for _, x := range of.list {
		if sameFile(x.file, f) {
			return f.Close()
		}
	}
	for _, o := range s.all {
		total += len(o.list)
	}
	x := socket{name: name, file: f}
	if len(of.list) >= maxSockets || total >= maxAllSockets {
		s.closeFile(x)
		const text = "%s is one socket too many: %d of an instance and %d of all are kept"
		return fmt.Errorf(text, name, maxSockets, maxAllSockets)
	}
	of.count++
	x.kept = fmt.Sprintf("%s%s/%s/%06d/%s", keptSockets, key.service, key.instance, of.count, name)
	if err := s.keeper.Keep(x.kept, f); err != nil {
		s.closeFile(x)
		return err
	}
	of.list = append(of.list, x)
	return nil
}

// remove lets go all sockets of an instance with that name.
func (s *sockets) remove(key instanceKey, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of := s.of(key)
	of.list = slices.DeleteFunc(of.list, func(x socket) bool {
		if x.name == name {
			s.letGo(x)
		}
		return x.name == name
	})
}

// drop lets go what belongs to names that are not wanted.
func (s *sockets) drop(wanted func(instanceKey) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, of := range s.all {
		if wanted(key) {
			continue
		}
		of.rest()
		for _, x := range of.list {
			s.letGo(x)
		}
		if of.list = nil; !of.runs {
			delete(s.all, key)
		}
	}
}

// letGo closes a socket, here and at the keeper.
func (s *sockets) letGo(x socket) {
	if err := s.keeper.Keep(x.kept, nil); err != nil {
		s.log.WithError(err).Warnf("a port of an instance stays taken")
	}
	s.closeFile(x)
}

// closeFile does not wait: what was a listening socket may have become one that waits (SO_LINGER).
func (s *sockets) closeFile(x socket) { go func() { _ = x.file.Close() }() }

// sameFile tells whether both are descriptors of one socket.
func sameFile(a, b *os.File) bool {
	x, errX := a.Stat()
	y, errY := b.Stat()
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// number is that of a descriptor, whose owner has to live on. Fd would make it a blocking one.
func number(f syscall.Conn) int {
	n := -1
	if raw, err := f.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { n = int(fd) })
	}
	return n
}
