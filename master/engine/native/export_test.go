//go:build unix

package native

import "time"

// SetWait changes how long connections wait for the next life of an instance.
func SetWait(e *Engine, d time.Duration) { e.sockets.wait = d }

// Sockets is how many listening sockets have been handed over.
func Sockets(e *Engine) (n int) {
	e.sockets.mu.Lock()
	defer e.sockets.mu.Unlock()
	for _, of := range e.sockets.all {
		n += len(of.list)
	}
	return n
}

// Gone closes what the process of a master has open of sockets, as its end does.
func Gone(e *Engine) {
	e.sockets.mu.Lock()
	defer e.sockets.mu.Unlock()
	for _, of := range e.sockets.all {
		of.rest()
		for _, x := range of.list {
			_ = x.file.Close()
		}
		of.list = nil
	}
}

// CheckProgram says why the kernel does not run a program.
func CheckProgram(path, search string) error { return checkProgram(path, search) }
