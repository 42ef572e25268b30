// Package output writes the output of instances to the file of their service, the same for every engine.
//
//	stdout, stderr ─► Copy ─► <service>.log   each line with time and instance
//	                       └► Last            the last lines, for inspect
package output

import (
	"bufio"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	lineCap   = 64 << 10 // bytes of one line in the log file; a longer one goes on in the next
	tailLines = 20       // kept in memory
	tailCap   = 200      // bytes of a kept line
)

// Dir is where the files are, relative to the master's working directory.
const Dir = "var/log/baetyl/services"

// File returns the path of a service's file, relative to the working directory.
func File(service string) string { return filepath.Join(Dir, service+".log") }

// Output is the output of one instance. Its methods may be called from any goroutine.
type Output struct {
	Instance string
	To       io.Writer // file of the service; several instances write to it at once

	mu   sync.Mutex
	tail []string
}

// Copy reads until the end of r. When the log file cannot be written, lines are lost, but
// r is read on, so that the instance never blocks.
func (o *Output) Copy(r io.Reader) {
	in := bufio.NewReaderSize(r, lineCap)
	for {
		line, err := in.ReadSlice('\n') // bufio.ErrBufferFull: a part of a long line
		if len(line) > 0 {
			o.line(strings.TrimRight(string(line), "\r\n"))
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

func (o *Output) line(text string) {
	_, _ = io.WriteString(o.To, time.Now().Format("2006-01-02T15:04:05.000Z07:00")+" ["+o.Instance+"] "+text+"\n")
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

// Last returns the last lines that were not empty.
func (o *Output) Last() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.tail...)
}
