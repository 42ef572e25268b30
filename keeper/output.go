//go:build unix

package keeper

import (
	"context"
	"io"
	"os"
	"sync"
	"time"

	"github.com/baetyl/baetyl/utils/logfile"
)

// streams are the names of what is read, in the order of descriptors 1 and 2.
var streams = [2]string{logfile.Stdout, logfile.Stderr}

// output is what a process writes. The loop owns it.
type output struct {
	Output
	file    *sharedFile
	lines   *logfile.Lines
	readers [2]*reader // of descriptors 1 and 2; nil: it has ended
	changed func()     // called when one has ended
}

// sharedFile is a log file and how many processes use it.
type sharedFile struct {
	*logfile.File
	path  string
	users int
}

// newOutput reads pipes until they end. before is the state of who read them before.
func (s *Server) newOutput(to Output, before logfile.State, pipes [2]*os.File, changed func()) *output {
	o := &output{Output: to, file: s.share(to), changed: changed}
	o.lines = logfile.NewLines(o.file.File, to.Instance)
	o.lines.Restore(before)
	for i, p := range pipes {
		if p != nil {
			stream := streams[i]
			o.readers[i] = &reader{pipe: p, copy: func(r io.Reader) error { return o.lines.Copy(stream, r) }}
		}
	}
	o.read(s)
	return o
}

// read reads on, at the start and after halt.
func (o *output) read(s *Server) {
	for i, r := range o.readers {
		if r != nil {
			r.start(func() { s.post(func() { o.forget(i, r); o.changed() }) })
		}
	}
}

// forget closes a pipe from which nothing more is read.
func (o *output) forget(i int, r *reader) {
	if o.readers[i] == r {
		_ = r.pipe.Close()
		o.readers[i] = nil
	}
}

// halt stops reading. What is half read stays in lines.
func (o *output) halt() {
	for i, r := range o.readers {
		if r == nil {
			continue
		}
		if r.halt(); r.end {
			o.forget(i, r)
		}
	}
}

// ended tells whether both pipes have.
func (o *output) ended() bool { return o.readers[0] == nil && o.readers[1] == nil }

// giveUp reads what is there, and no more: a process that has left the group holds a pipe.
func (o *output) giveUp() {
	o.halt()
	for i, r := range o.readers {
		if r != nil {
			_ = o.lines.Stream(streams[i]).Close() // writes a half line
			o.forget(i, r)
		}
	}
}

func (s *Server) share(to Output) *sharedFile {
	limits := logfile.Limits{
		Size: int64(to.Size) << 20, Age: time.Duration(to.Age) * 24 * time.Hour, Backups: to.Backups,
		Report: func(err error) { s.reportFile(to.File, err) },
	}
	f := s.files[to.File]
	if f == nil {
		f = &sharedFile{File: logfile.New(to.File, limits), path: to.File}
		s.files[to.File] = f
	} else {
		f.SetLimits(limits) // the newest are those of the configuration
	}
	f.users++
	return f
}

func (s *Server) reportFile(path string, err error) {
	if err != nil {
		s.log("error", "write log %s: %v", path, err)
		return
	}
	s.log("info", "write log %s: works again", path)
}

// closeTimeout is how long a file may take to be written when nobody uses it any more.
const closeTimeout = 10 * time.Second

// leave closes a file that nobody uses any more.
func (s *Server) leave(f *sharedFile) {
	if f.users--; f.users > 0 {
		return
	}
	delete(s.files, f.path)
	go func() { // ends after closeTimeout
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		_ = f.Close(ctx) // what is lost was counted and said
	}()
}

// closeFiles closes all files within d.
func (s *Server) closeFiles(d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	var all sync.WaitGroup
	for _, f := range s.files {
		all.Go(func() { _ = f.Close(ctx) })
	}
	all.Wait()
}
