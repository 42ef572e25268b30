package rule

import "sync"

// job does the work of one message. The function that it returns is run when the jobs before it in its queue have run
// theirs.
type job func() (finish func())

// keyedQueue runs jobs, in one queue for each key. Jobs with the same key begin in the order of add, at most width of
// them at once, and finish in that order; jobs with different keys run side by side. It does not limit the number of
// jobs, its caller does.
type keyedQueue struct {
	width func() int // called whenever a job might begin

	mu      sync.Mutex
	queues  map[string]*queue // by key; only those that have jobs
	running sync.WaitGroup
}

type queue struct {
	waiting []job
	running int           // jobs that have begun and are not finished
	last    chan struct{} // closed when the job that began last is finished
}

func newKeyedQueue(width func() int) *keyedQueue {
	return &keyedQueue{width: width, queues: map[string]*queue{}}
}

// add starts a job, or queues it behind those of its key. A job that is not ordered starts at once.
func (k *keyedQueue) add(key string, ordered bool, j job) {
	if !ordered {
		k.running.Go(func() { j()() })
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	q := k.queues[key]
	if q == nil {
		q = &queue{last: make(chan struct{})}
		close(q.last)
		k.queues[key] = q
	}
	q.waiting = append(q.waiting, j)
	k.begin(key, q)
}

// begin starts as many jobs of a queue as may run, and removes the queue when it has none.
func (k *keyedQueue) begin(key string, q *queue) {
	for len(q.waiting) > 0 && q.running < k.width() {
		j, before, done := q.waiting[0], q.last, make(chan struct{})
		q.waiting = q.waiting[1:]
		q.running++
		q.last = done
		k.running.Go(func() {
			finish := j()
			<-before
			finish()
			close(done)
			k.mu.Lock()
			defer k.mu.Unlock()
			q.running--
			k.begin(key, q)
		})
	}
	if q.running == 0 {
		delete(k.queues, key)
	}
}

// wait blocks until all jobs have ended.
func (k *keyedQueue) wait() { k.running.Wait() }
