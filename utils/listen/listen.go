// Package listen opens listening sockets that outlive the program, where the manager of services can keep them:
// systemd, or the master of Baetyl in native mode. Both speak sd_listen_fds(3) and sd_notify(3), FDSTORE.
//
//	Inherited: LISTEN_FDS ─► Retain: close what is not configured any more ─► Listen: take it, or open and hand it over
//
// Between two lives of the program the port stays taken: no other program gets it, and clients wait. Without a manager,
// and on other systems than Linux, Listen is net.Listen.
package listen

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The variables, and the first descriptor, of sd_listen_fds(3) and sd_notify(3).
const (
	envPID    = "LISTEN_PID"
	envCount  = "LISTEN_FDS"
	envNames  = "LISTEN_FDNAMES"
	envNotify = "NOTIFY_SOCKET"
	firstFD   = 3
	maxFDs    = 1024 // more are not ours to close
)

// timeout is how long the manager may take for what it is told.
const timeout = 5 * time.Second

// Store is what a program has inherited, and where it hands over what it opens. Its methods may be called from any
// goroutine. The zero value has inherited nothing and hands nothing over.
type Store struct {
	manager string // address of the manager; empty: there is none

	mu   sync.Mutex // guards list
	list []inherited
}

// inherited is a listener that nobody has asked for yet.
type inherited struct {
	net.Listener
	name string
}

var once = sync.OnceValue(func() *Store { return fromEnv(os.Getpid(), firstFD) })

// Inherited returns the store of this process, the same one at each call. It removes LISTEN_PID, LISTEN_FDS and
// LISTEN_FDNAMES from the environment, so that children do not take them for theirs.
func Inherited() *Store { return once() }

// fromEnv reads the environment of process pid. Descriptors that are no listeners are left alone.
func fromEnv(pid, first int) *Store {
	s := &Store{manager: os.Getenv(envNotify)}
	count := countOf(os.Getenv(envPID), os.Getenv(envCount), pid)
	names := strings.Split(os.Getenv(envNames), ":")
	for _, name := range []string{envPID, envCount, envNames} {
		_ = os.Unsetenv(name)
	}
	for n := range count {
		ln, err := listenerOf(first + n)
		if err != nil {
			continue
		}
		name := ""
		if len(names) == count {
			name = names[n]
		}
		s.list = append(s.list, inherited{ln, name})
	}
	return s
}

// countOf is how many descriptors are for process pid.
func countOf(forPID, text string, pid int) int {
	if n, err := strconv.Atoi(forPID); err != nil || n != pid {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > maxFDs {
		return 0
	}
	return n
}

// Retain closes what was inherited and is for none of the addresses, host:port, and lets the manager close it too. It
// is called before Listen: what was configured before would be in the way. The error is for the log: a port of before
// may stay taken.
func (s *Store) Retain(addresses ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var kept []inherited
	var errs []error
	for _, l := range s.list {
		if l.isForAny(addresses) {
			kept = append(kept, l)
			continue
		}
		address := l.Addr().String()
		errs = append(errs, l.Close())
		if s.manager != "" && l.name != "" {
			if err := remove(s.manager, l.name); err != nil {
				errs = append(errs, fmt.Errorf("give back %s: %w", address, err))
			}
		}
	}
	s.list = kept
	return errors.Join(errs...)
}

func (l inherited) isForAny(addresses []string) bool {
	for _, a := range addresses {
		if l.isFor(a) {
			return true
		}
	}
	return false
}

// isFor tells whether net.Listen would open the same for address. Without a host that depends on the system: then the
// name tells it.
func (l inherited) isFor(address string) bool {
	got, ok := l.Addr().(*net.TCPAddr)
	want, err := net.ResolveTCPAddr("tcp", address)
	if !ok || err != nil || got.Port != want.Port || want.Port == 0 || got.Zone != want.Zone {
		return false
	}
	if want.IP == nil {
		return got.IP.Equal(net.IPv6unspecified) || got.IP.IsUnspecified() && l.name == nameOf(address)
	}
	return got.IP.Equal(want.IP)
}

// Listen returns the inherited listener for address, host:port, or opens it and hands it over to the manager, under a
// name that is made of the address. handed is why that was not possible: the listener works, but its port is free while
// the program does not run.
func (s *Store) Listen(address string) (ln net.Listener, handed, err error) {
	s.mu.Lock()
	for n, l := range s.list {
		if l.isFor(address) {
			s.list = append(s.list[:n:n], s.list[n+1:]...)
			s.mu.Unlock()
			return l.Listener, nil, nil
		}
	}
	s.mu.Unlock()
	ln, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, nil, err
	}
	t, ok := ln.(*net.TCPListener)
	if a, isTCP := ln.Addr().(*net.TCPAddr); !ok || !isTCP || s.manager == "" || endsWithZero(address) || a.Port == 0 {
		return ln, nil, nil
	}
	if err := store(s.manager, nameOf(address), t); err != nil {
		handed = fmt.Errorf("hand over %s to the manager of services: %w", address, err)
	}
	return ln, handed, nil
}

// endsWithZero tells whether the system chooses the port, so that the next life would ask for another one.
func endsWithZero(address string) bool {
	_, port, err := net.SplitHostPort(address)
	n, _ := strconv.Atoi(port)
	return err != nil || n == 0
}

// nameOf is the name of a listener at the manager, which allows no ':'.
func nameOf(address string) string { return "tcp_" + strings.ReplaceAll(address, ":", "_") }
