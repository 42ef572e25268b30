package log

import (
	"cmp"
	"context"
	"io"
	"os"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/logfile"
)

const (
	writeTimeout = 20 * time.Millisecond // that a call waits until its line is written, unless one waited so long in vain
	waitAgain    = 10 * time.Second      // after such a line
	endTimeout   = time.Second           // that the end of a program waits for what is not written
)

// Root is the log of a program. Its configuration may be changed while it is in use.
type Root struct {
	entry
	out *outputs
}

// New returns the log described by c. fields are pairs of a key and a value that every line carries. Zero values in c
// mean the documented defaults.
func New(c Config, fields ...string) *Root {
	console := logfile.Console()
	return newRoot(&outputs{console: console, flush: console.Flush}, c, fields)
}

// NewTo is New with another console. Each line is on it before the call returns: it must not block.
func NewTo(console io.Writer, c Config, fields ...string) *Root {
	return newRoot(&outputs{console: &serial{to: console}, flush: func(context.Context) error { return nil }}, c, fields)
}

func newRoot(out *outputs, c Config, fields []string) *Root {
	l := logrus.New()
	l.Out = out
	l.ExitFunc = func(status int) {
		out.flushAll(endTimeout)
		os.Exit(status)
	}
	data := logrus.Fields{}
	for i := 0; i+1 < len(fields); i += 2 {
		data[fields[i]] = fields[i+1]
	}
	r := &Root{entry{root: l.WithFields(data)}, out}
	r.Reconfigure(c)
	return r
}

// Reconfigure changes level, format, file and limits to those of c. Lines that the previous file has not taken yet are
// still written to it.
func (r *Root) Reconfigure(c Config) {
	format := formatter(c.Format)
	r.root.Logger.SetFormatter(format)
	r.SetLevel(c.Level)
	r.out.mu.Lock()
	defer r.out.mu.Unlock()
	r.out.format = format
	if r.out.path == c.Path {
		if r.out.file != nil {
			r.out.file.SetLimits(Limits(c))
		}
		return
	}
	r.out.leave(r.out.file)
	r.out.file, r.out.path = nil, c.Path
	if c.Path == "" {
		return
	}
	limits := Limits(c)
	limits.Report = func(err error) {
		if err != nil {
			r.tell(logrus.ErrorLevel, "log file cannot be written; what is more than the buffer takes is dropped: "+err.Error())
		} else {
			r.tell(logrus.InfoLevel, "log file is written again")
		}
	}
	r.out.file = logfile.New(c.Path, limits)
	r.out.file.OnLoss(func(at time.Time, l logfile.Lost) []byte { return r.line(at, logrus.WarnLevel, l.String()) })
}

// tell writes a line to the console alone.
func (r *Root) tell(level logrus.Level, text string) {
	_, _ = r.out.console.Write(r.line(time.Now(), level, text))
}

// line is a line of this log.
func (r *Root) line(at time.Time, level logrus.Level, text string) []byte {
	e := r.root.Dup()
	e.Time, e.Level, e.Message = at, level, text
	r.out.mu.Lock()
	format := r.out.format
	r.out.mu.Unlock()
	b, _ := format.Format(e) // strings only: there is no error
	return b
}

// SetLevel changes the lowest level that is written; an unknown level means info.
func (r *Root) SetLevel(level string) {
	lv, err := logrus.ParseLevel(level)
	if err != nil {
		lv = logrus.InfoLevel
	}
	r.root.Logger.SetLevel(lv)
}

// Close waits until everything is written, one second at most, and closes the log file. Lines that come later go to the
// console.
func (r *Root) Close() error {
	r.out.mu.Lock()
	file := r.out.file
	r.out.file, r.out.path = nil, ""
	r.out.leave(file)
	r.out.mu.Unlock()
	r.out.flushAll(endTimeout)
	r.out.leaving.Wait()
	return nil
}

// Limits returns the limits of c.
func Limits(c Config) logfile.Limits {
	d := conf.Default[Config]()
	return logfile.Limits{
		Size:    int64(cmp.Or(c.Size.Max, d.Size.Max)) << 20,
		Age:     time.Duration(cmp.Or(c.Age.Max, d.Age.Max)) * 24 * time.Hour,
		Backups: cmp.Or(c.Backup.Max, d.Backup.Max),
	}
}

// outputs is where lines go. The logger calls Write from one goroutine at a time.
type outputs struct {
	console io.Writer // does not block
	flush   func(context.Context) error

	mu      sync.Mutex // taken after those of the file
	format  logrus.Formatter
	file    *logfile.File // nil: console only
	path    string
	late    time.Time      // when a line waited in vain
	leaving sync.WaitGroup // files that write their rest
}

func (o *outputs) Write(line []byte) (int, error) {
	o.mu.Lock()
	file, wait := o.file, time.Since(o.late) > waitAgain
	o.mu.Unlock()
	_, _ = o.console.Write(line)
	if file != nil {
		_, _ = file.Write(line)
	}
	if wait && !o.flushAll(writeTimeout) {
		o.mu.Lock()
		o.late = time.Now()
		o.mu.Unlock()
	}
	return len(line), nil
}

// flushAll waits until everything is written; false: it was not, within d.
func (o *outputs) flushAll(d time.Duration) bool {
	o.mu.Lock()
	file := o.file
	o.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	err := o.flush(ctx)
	if file != nil {
		if err2 := file.Flush(ctx); err == nil {
			err = err2
		}
	}
	return err == nil
}

// leave closes a file in the background. o.mu is held.
func (o *outputs) leave(file *logfile.File) {
	if file == nil {
		return
	}
	o.leaving.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
		defer cancel()
		_ = file.Close(ctx) // Report has said why lines are lost
	})
}

// serial lets several goroutines write, one at a time.
type serial struct {
	mu sync.Mutex
	to io.Writer
}

func (s *serial) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.to.Write(p)
}
