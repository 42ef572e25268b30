package mqtttest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
)

// Ports that FreePort gives out. They lie below those that Linux takes for outgoing connections by default.
const (
	lowestPort  = 10000
	highestPort = 30000
)

var (
	portsMu sync.Mutex
	ports   = map[int]bool{} // given out by this process
)

// FreePort returns a TCP port of 127.0.0.1 on which no process listens, for a server that takes an address and no
// listener. FreePort gives it out once, and the kernel does not use it for an outgoing connection meanwhile, as it may
// do with a port that net.Listen chose.
func FreePort(t testing.TB) int {
	t.Helper()
	from, to := outgoingPorts()
	portsMu.Lock()
	defer portsMu.Unlock()
	for range 1000 {
		port := lowestPort + rand.IntN(highestPort-lowestPort)
		if ports[port] || port >= from && port <= to {
			continue
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue // in use
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		ports[port] = true
		return port
	}
	t.Fatalf(
		"no free port between %d and %d outside of net.ipv4.ip_local_port_range (%d to %d): make that range smaller",
		lowestPort,
		highestPort,
		from,
		to,
	)
	return 0
}

// outgoingPorts returns the range of the kernel's own choice, an empty one where it can't be read: not on Linux.
func outgoingPorts() (from, to int) {
	b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err == nil {
		_, err = fmt.Sscan(string(b), &from, &to)
	}
	if err != nil {
		return 1, 0
	}
	return from, to
}
