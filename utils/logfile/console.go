package logfile

import (
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

// stderr is os.Stderr as it is when something is written, for tests that replace it.
type stderr struct{}

func (stderr) Write(p []byte) (int, error) { return writeTo(os.Stderr, p) }
