//go:build unix

package keeper

import (
	"context"
	"os"
	"slices"
	"sync"
	"time"
)

// tailLines is how many lines of a process are kept at hand.
const tailLines = 20

// streams are the names of what is read, in the order of descriptors 1 and 2.
var streams = [2]string{"stdout", "stderr"}

// output is what a process writes.
type output struct {
	Output
	file    *sharedFile
	readers [2]*lines // of descriptors 1 and 2

	mu   sync.Mutex // guards last
	last []string
}

// sharedFile is a log file and how many processes use it.
type sharedFile struct {
	*logFile
	path  string
	users int
}

// newOutput reads both pipes until they end.
func (s *Server) newOutput(to Output, pipes ...*os.File) *output {
	o := &output{Output: to, file: s.share(to)}
	for i, stream := range streams {
		o.readers[i] = newLines(pipes[i], nil, func(text string) { o.line(stream, text) })
		go o.readers[i].run()
	}
	return o
}

func (s *Server) share(to Output) *sharedFile {
	f := s.files[to.File]
	if f == nil {
		f = &sharedFile{logFile: newLogFile(to), path: to.File}
		s.files[to.File] = f
	}
	f.users++
	return f
}

// closeTimeout is how long a file may take to be written when nobody uses it any more.
const closeTimeout = 10 * time.Second

// leave closes a file that nobody uses any more.
func (s *Server) leave(f *sharedFile) {
	if f.users--; f.users > 0 {
		return
	}
	delete(s.files, f.path)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		_ = f.Close(ctx) // what is lost is counted there
	}()
}

// closeFiles closes all files within d.
func (s *Server) closeFiles(d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	for _, f := range s.files {
		_ = f.Close(ctx)
	}
}

func (o *output) line(stream, text string) {
	o.mu.Lock()
	if len(o.last) >= tailLines {
		o.last = slices.Delete(o.last, 0, 1+len(o.last)-tailLines)
	}
	o.last = append(o.last, text)
	o.mu.Unlock()
	o.file.Line(time.Now(), o.Instance, stream, text)
}

func (o *output) tail() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.last)
}

// finish waits until both pipes have ended, at most d: a process that has left the group may hold them.
func (o *output) finish(d time.Duration) {
	limit := time.NewTimer(d)
	defer limit.Stop()
	for _, l := range o.readers {
		select {
		case <-l.done:
		case <-limit.C:
			for _, l := range o.readers {
				l.end()
			}
			return
		}
	}
}
