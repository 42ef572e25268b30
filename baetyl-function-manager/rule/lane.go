package rule

import "sync"

// job does the work of one message; what it returns is run when the jobs before it in its lane have done the same.
type job func() (finish func())

// lanes runs jobs. Those with the same key begin in the order of add, at most width of them at once, and finish in
// that order; others run side by side. The number of jobs is bounded by who adds them.
type lanes struct {
	width func() int // asked whenever a job might begin

	mu      sync.Mutex
	lanes   map[string]*lane // those that have jobs
	running sync.WaitGroup
}

type lane struct {
	waiting []job
	count   int           // jobs that have begun and are not finished
	last    chan struct{} // closed when the one that began last is finished
}

func newLanes(width func() int) *lanes { return &lanes{width: width, lanes: map[string]*lane{}} }

// add starts a job, or queues it behind those of its key. ordered is false for a job that has no key.
func (l *lanes) add(key string, ordered bool, j job) {
	if !ordered {
		l.running.Go(func() { j()() })
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	way := l.lanes[key]
	if way == nil {
		way = &lane{last: make(chan struct{})}
		close(way.last)
		l.lanes[key] = way
	}
	way.waiting = append(way.waiting, j)
	l.begin(key, way)
}

// begin starts as many jobs of a lane as may run, and forgets it when it has none.
func (l *lanes) begin(key string, way *lane) {
	for len(way.waiting) > 0 && way.count < l.width() {
		j, before, done := way.waiting[0], way.last, make(chan struct{})
		way.waiting = way.waiting[1:]
		way.count++
		way.last = done
		l.running.Go(func() {
			finish := j()
			<-before
			finish()
			close(done)
			l.mu.Lock()
			defer l.mu.Unlock()
			way.count--
			l.begin(key, way)
		})
	}
	if way.count == 0 {
		delete(l.lanes, key)
	}
}

// wait blocks until all jobs have ended.
func (l *lanes) wait() { l.running.Wait() }
