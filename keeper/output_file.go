//go:build unix

package keeper

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"sync"
	"time"
)

// logFile is a stand-in for utils/logfile.File until that is merged.
type logFile struct {
	mu sync.Mutex
	f  *os.File
	w  *bufio.Writer
}

func newLogFile(o Output) *logFile {
	f, err := os.OpenFile(o.File, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return &logFile{}
	}
	return &logFile{f: f, w: bufio.NewWriter(f)}
}

// Line writes a line.
func (l *logFile) Line(at time.Time, instance, stream, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f != nil {
		fmt.Fprintf(l.w, "%s [%s] %s: %s\n", at.Format(stamp), instance, stream, text)
		_ = l.w.Flush()
	}
}

// Close closes the file.
func (l *logFile) Close(context.Context) error {
	if l.f == nil {
		return nil
	}
	return l.f.Close()
}
