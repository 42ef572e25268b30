package rule

import "sync"

// lanes runs jobs: those with the same key one after the other, in the order of add, others side by side. The number of jobs is
// bounded by who adds them.
type lanes struct {
	mu      sync.Mutex
	waiting map[string][]func() // an entry for each key whose job runs
	running sync.WaitGroup
}

func newLanes() *lanes { return &lanes{waiting: map[string][]func(){}} }

// add starts a job, or queues it behind those of its key. ordered is false for a job that has no key.
func (l *lanes) add(key string, ordered bool, job func()) {
	if !ordered {
		l.running.Go(job)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if queue, busy := l.waiting[key]; busy {
		l.waiting[key] = append(queue, job)
		return
	}
	l.waiting[key] = nil
	l.running.Go(func() { l.run(key, job) })
}

func (l *lanes) run(key string, job func()) {
	for job != nil {
		job()
		job = l.next(key)
	}
}

func (l *lanes) next(key string) func() {
	l.mu.Lock()
	defer l.mu.Unlock()
	queue := l.waiting[key]
	if len(queue) == 0 {
		delete(l.waiting, key)
		return nil
	}
	l.waiting[key] = queue[1:]
	return queue[0]
}

// wait blocks until all jobs have ended.
func (l *lanes) wait() { l.running.Wait() }
