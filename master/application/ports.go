package application

import (
	"errors"
	"net"
	"strconv"
	"sync"
	"time"
)

// portHold is how long a port that one caller got is not given to another one, so that the first has time to listen.
const portHold = time.Minute

// Ports finds free ports of the host. Its zero value is ready; any goroutine may call it.
type Ports struct {
	mu    sync.Mutex
	given map[int]time.Time
}

// Available returns a port of 127.0.0.1 that is free now and that no caller got within the last minute.
func (p *Ports) Available(now time.Time) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for port, at := range p.given {
		if now.Sub(at) >= portHold {
			delete(p.given, port)
		}
	}
	// Listeners stay open until a port is found, so that the system offers another one each time.
	var held []net.Listener
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	for range 1000 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		held = append(held, l)
		port := l.Addr().(*net.TCPAddr).Port
		if _, ok := p.given[port]; !ok {
			if p.given == nil {
				p.given = map[int]time.Time{}
			}
			p.given[port] = now
			return strconv.Itoa(port), nil
		}
	}
	return "", errors.New("no free port: all that the system offers were handed out within the last minute")
}
