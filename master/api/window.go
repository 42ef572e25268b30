package api

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// window holds input that the command has not read.
type window struct {
	mu     sync.Mutex // guards what follows
	more   sync.Cond
	held   []byte
	ended  bool // there is no more
	closed bool // nobody reads any more
}

// add adds input; none is its end.
func (w *window) add(p []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.more.Signal()
	switch {
	case len(p) == 0:
		w.ended = true
	case w.ended:
		return errors.New("the client has sent input after its end")
	case len(w.held)+len(p) > masterapi.ExecWindow:
		return fmt.Errorf("the client has sent more than %d bytes of input that were not taken", masterapi.ExecWindow)
	default:
		w.held = append(w.held, p...)
	}
	return nil
}

func (w *window) read(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.held) == 0 && !w.ended && !w.closed {
		w.more.Wait()
	}
	if len(w.held) == 0 || w.closed {
		return 0, io.EOF
	}
	n := copy(p, w.held)
	if w.held = w.held[n:]; len(w.held) == 0 {
		w.held = nil
	}
	return n, nil
}

// close lets a reader go.
func (w *window) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.more.Broadcast()
}
