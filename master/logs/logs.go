package logs

import (
	"context"
	"path/filepath"
	"sync"
	"time"

	"github.com/baetyl/baetyl/master/engine/output"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// MaxTail is the most that Query.Tail may be.
const MaxTail = 1_000_000

// Query says what is to be read.
type Query struct {
	Services     []string // by name; masterapi.ServiceMaster: the master's own log, unless Master is empty
	Master       string   // path of that log; empty: there is no such file
	Since, Until time.Time
	Tail         int  // the last lines of each service; negative: all
	Follow       bool // and the lines that come
}

// Logs reads the logs of the services of one master. Its methods may be called from any goroutine.
type Logs struct {
	dir   string // working directory of the master
	watch *watcher
}

// New returns the logs in the working directory dir. It opens nothing.
func New(dir string) *Logs {
	return &Logs{dir: dir, watch: newWatcher(filepath.Join(dir, output.Dir))}
}

// file is the log of a service.
func (l *Logs) file(q Query, service string) file {
	if service == masterapi.ServiceMaster && q.Master != "" {
		return file{path: q.Master, parse: ofMaster}
	}
	return file{path: filepath.Join(l.dir, output.File(service)), parse: ofService(service)}
}

// Has tells whether there is a log of a service, which may have left the application long ago.
func (l *Logs) Has(service string) bool {
	s, err := l.file(Query{}, service).open()
	closeFile(s.current)
	return err == nil && (s.current != nil || len(s.old) > 0)
}

// Read sends the lines that q asks for, those that are there merged by their times. An error of send ends it.
func (l *Logs) Read(ctx context.Context, q Query, send func(masterapi.LogLine) error) error {
	w := wanted{since: q.Since, until: q.Until, tail: q.Tail}
	var all []*history
	defer func() {
		for _, h := range all {
			h.close()
		}
	}()
	var changed []<-chan struct{}
	for _, service := range q.Services {
		f := l.file(q, service)
		if q.Follow { // before the file is read to its end
			c, stop := l.watch.add(f.path)
			defer stop()
			changed = append(changed, c)
		}
		h, err := newHistory(f, w)
		if err != nil {
			return err
		}
		h.grows = q.Follow
		all = append(all, h)
	}
	if err := merge(ctx, all, send); err != nil || !q.Follow {
		return err
	}
	return followAll(ctx, all, changed, send)
}

// merge sends the lines of all, the one with the earliest time first.
func merge(ctx context.Context, all []*history, send func(masterapi.LogLine) error) error {
	for {
		var first *history
		var line masterapi.LogLine
		for _, h := range all {
			if l, ok := h.peek(); ok && (first == nil || l.Time.Before(line.Time)) {
				first, line = h, l
			}
		}
		if first == nil {
			return nil
		}
		first.take()
		if err := send(line); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// followAll follows all, one goroutine each; send is called by one of them at a time.
func followAll(ctx context.Context, all []*history, changed []<-chan struct{},
	send func(masterapi.LogLine) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var sending sync.Mutex
	one := func(l masterapi.LogLine) error {
		sending.Lock()
		defer sending.Unlock()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return send(l)
	}
	var wg sync.WaitGroup
	errs := make([]error, len(all))
	for n, h := range all {
		wg.Go(func() {
			if errs[n] = h.follow(ctx, changed[n], one); errs[n] != nil {
				cancel(errs[n])
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}
