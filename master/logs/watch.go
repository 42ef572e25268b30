package logs

import (
	"path/filepath"
	"sync"
)

// watcher tells followers that a file may have changed. The system is asked to say so as long as somebody follows;
// where it cannot, followers look themselves from time to time (checkInterval).
type watcher struct {
	dir string

	mu   sync.Mutex // guards what follows
	of   map[chan struct{}]string
	stop func() // of the watch; nil: there is none
}

func newWatcher(dir string) *watcher { return &watcher{dir: dir, of: map[chan struct{}]string{}} }

// add begins to tell of the file at path; stop ends that.
func (w *watcher) add(path string) (changed <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.of[c] = path
	if w.stop == nil && filepath.Dir(path) == w.dir {
		w.stop = watch(w.dir, w.tell) // nil again when the folder is not there yet
	}
	return c, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.of, c)
		if len(w.of) == 0 && w.stop != nil {
			w.stop()
			w.stop = nil
		}
	}
}

// tell tells those who follow the file with that name; empty: all, since the watch is over, or has missed something.
func (w *watcher) tell(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c, path := range w.of {
		if name != "" && name != filepath.Base(path) {
			continue
		}
		select {
		case c <- struct{}{}:
		default: // it has been told
		}
	}
}
