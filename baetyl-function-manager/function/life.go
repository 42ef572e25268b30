package function

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/baetyl/baetyl/baetyl-function-manager/pool"
	rpc "github.com/baetyl/baetyl/sdk/baetyl-go/function"
	"github.com/baetyl/baetyl/utils/log"
)

func (f *Function) start(id int) {
	name := Name(f.cfg, id)
	began := time.Now()
	client, err := f.starter.Start(f.alive, f.cfg, id)
	if err != nil {
		f.failed.Add(1)
		f.remember(err)
		if f.alive.Err() == nil && f.news(err) {
			f.log.WithField(log.KeyInstance, name).WithError(err).
				Errorf("instance is not started; it is tried again while messages wait or instance.min is not reached, " +
					"and this is said again when the reason changes")
		}
		f.apply(func(now time.Time) []pool.Action[*Call] {
			return f.pool.StartFailed(id, fmt.Errorf("start instance of function %s: %w", f.cfg.Name, err), rand.Float64(), now)
		})
		return
	}
	f.started.Add(1)
	f.news(nil)
	f.room.Store(int64(client.Concurrent()))
	f.queue.Store(int64(f.waiting(client)))
	took := time.Since(began).Round(time.Millisecond)
	f.log.WithField(log.KeyInstance, name).WithField("took", took).Infof("instance started")
	if !client.Protected() {
		f.told.Do(func() {
			f.log.Warnf("the channel to instances of service %s is not protected: another program of this machine may call "+
				"them, or answer in their place; docs/module-authors.md says how a runtime protects it", f.cfg.Service)
		})
	}
	watch, drop := context.WithCancel(f.alive)
	i := &instance{client: client, drop: drop}
	f.mu.Lock()
	f.instances[id] = i
	f.mu.Unlock()
	f.work.Go(func() { f.watch(watch, id, i) })
	f.apply(func(now time.Time) []pool.Action[*Call] {
		return f.pool.Started(id, client.Room(f.Concurrency()), int(f.queue.Load()), now)
	})
}

// news notes how a start went, and tells whether the one before went otherwise.
func (f *Function) news(err error) bool {
	text := ""
	if err != nil {
		text = err.Error()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.cannot
	f.cannot = text
	return text != before
}

// waiting is how many calls may wait in an instance. It has to be the only one, see pool, and to handle as many calls
// at once as the configuration says: else more would begin than that, or fewer than the timeouts count on.
func (f *Function) waiting(c *rpc.Client) int {
	if n := f.cfg.Instance.Concurrency; f.cfg.Instance.Max > 1 || n != 0 && n != c.Concurrent() {
		return 0
	}
	return c.Queue()
}

// watch replaces an instance whose connection ends, also while it has no call.
func (f *Function) watch(ctx context.Context, id int, i *instance) {
	if !i.client.Lost(ctx) {
		return
	}
	f.end(id, i, func(id int, now time.Time) []pool.Action[*Call] {
		f.log.WithField(log.KeyInstance, Name(f.cfg, id)).Warnf("instance has ended and is replaced when needed")
		return f.pool.Broken(id, now)
	})
}

func (f *Function) stop(id int, i *instance, kill bool) {
	i.drop()
	// First, and to its end: calls that wait in it are back in their lines before another instance is there.
	i.client.Close()
	f.starter.Stop(f.cfg, id, kill)
	f.log.WithField(log.KeyInstance, Name(f.cfg, id)).Infof("instance stopped")
	f.apply(func(now time.Time) []pool.Action[*Call] { return f.pool.Stopped(id, now) })
}
