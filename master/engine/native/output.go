//go:build unix

package native

import (
	"bufio"
	"io"
	"strings"
	"sync"
	"time"
)

const (
	lineCap   = 64 << 10 // bytes of one line in the log file; a longer one goes on in the next
	tailLines = 20       // kept in memory
	tailCap   = 200      // bytes of a kept line
)

// output catches what a process writes: every line goes to the log file with time and instance, the last ones are kept.
type output struct {
	instance string
	to       io.Writer // of the service; safe for several instances

	mu   sync.Mutex
	tail []string
}

// copy reads until the end of r. A log file that cannot be written costs its lines, never the process: r is read on.
func (o *output) copy(r io.Reader) {
	in := bufio.NewReaderSize(r, lineCap)
	for {
		line, err := in.ReadSlice('\n') // bufio.ErrBufferFull: a part of a long line
		if len(line) > 0 {
			o.line(strings.TrimRight(string(line), "\r\n"))
		}
		if err != nil && err != bufio.ErrBufferFull {
			return
		}
	}
}

func (o *output) line(text string) {
	_, _ = io.WriteString(o.to, time.Now().Format("2006-01-02T15:04:05.000Z07:00")+" ["+o.instance+"] "+text+"\n")
	if strings.TrimSpace(text) == "" {
		return
	}
	if len(text) > tailCap {
		text = text[:tailCap] + "…"
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.tail) == tailLines {
		o.tail = append(o.tail[:0], o.tail[1:]...)
	}
	o.tail = append(o.tail, strings.ToValidUTF8(text, "?"))
}

func (o *output) last() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.tail...)
}
