//go:build e2e

package e2e_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// moment is where in the exchange of a request the master is killed.
type moment string

const (
	unread     moment = "unread"     // the master has seen nothing of the request
	asked      moment = "asked"      // it has the request, and may be anywhere in carrying it out
	unanswered moment = "unanswered" // it has answered, and nothing of that has arrived
	answered   moment = "answered"   // the first part of its answer has arrived, which may be all of it
)

var allMoments = []moment{unread, asked, unanswered, answered}

// between stands between the programs of a person and the master, and kills that in the middle of an exchange.
//
//	baetyl -w dir ──► dir/var/run/baetyl/admin.sock: between ──► admin.sock of the system, which the keeper holds
type between struct {
	dir  string // a working directory that differs in that socket alone
	s    *system
	stop func() // closes the listener

	mu     sync.Mutex
	seen   int // requests
	master int // its process
	at     int // the request that is the last one of the master; 0: none
	when   moment
	killed bool
}

// newBetween listens until the end of the test.
func newBetween(t *testing.T, s *system) *between {
	t.Helper()
	b := &between{dir: s.path("between"), s: s}
	sock := filepath.Join(b.dir, masterapi.AdminSocket)
	must(t, os.MkdirAll(filepath.Dir(sock), 0o755))
	for _, name := range []string{"bin", "etc", "var/db", "var/log"} {
		must(t, os.Symlink(s.path(name), filepath.Join(b.dir, name)))
	}
	l, err := net.Listen("unix", sock)
	must(t, err)
	b.stop = func() { l.Close() }
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { b.serve(conn) })
		}
	})
	t.Cleanup(func() { b.stop(); serving.Wait() })
	return b
}

// arm lets the master be killed at that moment of the n-th request from now on; n 0: not at all.
func (b *between) arm(n int, when moment) {
	master := b.s.master()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.master, b.seen, b.at, b.when, b.killed = master, 0, n, when, false
}

// result is how many requests came, and whether the master was killed.
func (b *between) result() (requests int, killed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.seen, b.killed
}

// kills kills the master if this is the moment, and tells whether it was.
func (b *between) kills(request int, when moment) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.killed || request != b.at || when != b.when {
		return false
	}
	b.killed = syscall.Kill(b.master, syscall.SIGKILL) == nil
	return b.killed
}

// serve passes one connection on.
func (b *between) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("unix", b.s.path(masterapi.AdminSocket))
	if err != nil { // the system has ended: nobody listens here either
		b.stop()
		return
	}
	defer server.Close()
	request := make(chan int, 1) // the number of the one that is underway
	var answering sync.WaitGroup
	defer answering.Wait()
	defer server.Close()
	answering.Go(func() {
		defer client.Close()
		b.answer(client, server, request)
	})
	in := bufio.NewReader(client)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		b.mu.Lock()
		b.seen++
		n := b.seen
		b.mu.Unlock()
		if b.kills(n, unread) {
			return
		}
		request <- n
		if err := r.Write(server); err != nil {
			return
		}
		b.kills(n, asked)
		if r.Header.Get("Upgrade") != "" {
			io.Copy(server, in)
			return
		}
	}
}

// answer passes on what the master answers.
func (b *between) answer(client, server net.Conn, request <-chan int) {
	buf := make([]byte, 32<<10)
	n := 0
	for {
		size, err := server.Read(buf)
		select {
		case n = <-request:
		default:
		}
		if size > 0 && b.kills(n, unanswered) {
			return
		}
		if _, failed := client.Write(buf[:size]); failed != nil || err != nil && !errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			return
		}
		b.kills(n, answered)
	}
}
