package service

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/utils/log"
)

// thawTimeout is for an engine to let one instance go on.
const thawTimeout = 30 * time.Second

// Freeze holds every instance that runs, until thaw. An error means that none is held. A master that adopts an instance
// lets it go on, so that one that is killed meanwhile leaves nothing behind.
func (m *Manager) Freeze(ctx context.Context) (thaw func(), err error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var held []engine.Instance
	m.freezes.Add(1)
	for _, name := range m.Names() {
		s, err := m.service(name)
		if err != nil {
			continue // stopped meanwhile
		}
		for _, i := range s.list() {
			i.mu.Lock()
			running := i.current
			i.mu.Unlock()
			if running != nil && !isClosed(running.Done()) {
				held = append(held, running)
			}
		}
	}
	errs := make([]error, 0, len(held))
	for _, i := range held {
		wg.Go(func() {
			if e := i.Freeze(ctx); e != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, e)
			}
		})
	}
	wg.Wait()
	thaw = sync.OnceFunc(func() {
		m.thaw(held)
		m.freezes.Add(1)
	})
	if err := errors.Join(errs...); err != nil {
		thaw()
		return nil, err
	}
	return thaw, nil
}

// thaw lets instances go on, all at once.
func (m *Manager) thaw(held []engine.Instance) {
	ctx, cancel := context.WithTimeout(context.Background(), thawTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, i := range held {
		wg.Go(func() {
			if err := i.Thaw(ctx); err != nil {
				m.opts.Log.WithField(log.KeyInstance, i.Record().Instance).WithError(err).
					Errorf("instance that was frozen for a backup may not go on; restart it")
			}
		})
	}
	wg.Wait()
}
