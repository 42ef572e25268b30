package logfile

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"
)

// Console returns the Writer to the stderr of this process, the same for all who ask. A console that nobody reads, or
// that has gone, is no reason to wait, or to end.
var Console = sync.OnceValue(func() *Writer {
	return NewWriter(stderr{}, 0, func(at time.Time, l Lost) []byte {
		return fmt.Appendf(nil, "time=%q level=warning msg=%q\n", at.Format(Stamp), l)
	})
})

// lastTimeout is how long the end of a program waits for a console.
const lastTimeout = time.Second

// LastWords is a writer to the Console for what a program says before it ends: it waits until that is there, but not
// longer than a second.
type LastWords struct{}

func (LastWords) Write(p []byte) (int, error) {
	_, _ = Console().Write(p)
	ctx, cancel := context.WithTimeout(context.Background(), lastTimeout)
	defer cancel()
	return len(p), Console().Flush(ctx)
}

// stderr is os.Stderr as it is when something is written, for tests that replace it.
type stderr struct{}

func (stderr) Write(p []byte) (int, error) { return writeTo(os.Stderr, p) }
