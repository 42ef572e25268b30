package function

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/baetyl/baetyl/protocol/masterapi"
	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
)

// endsInterval is the least time between two questions to the master, and endsShare the least part of the time in which
// there is none: many instances of a large application may start together.
const (
	endsInterval = 100 * time.Millisecond
	endsShare    = 10
)

// ends tells which of the instances that start have ended already: such a one never takes a call. One goroutine asks
// for all of them, while there are any. Its zero value is ready.
type ends struct {
	mu      sync.Mutex
	waiting map[instanceKey]context.CancelCauseFunc // empty: nobody asks
}

type instanceKey struct{ service, name string }

// watch calls cancel with the reason when the instance has ended. forget ends that.
func (e *ends) watch(m *baetyl.Master, service, name string, cancel context.CancelCauseFunc) (forget func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.waiting) == 0 {
		e.waiting = map[instanceKey]context.CancelCauseFunc{}
		go e.ask(m, e.waiting)
	}
	key := instanceKey{service, name}
	e.waiting[key] = cancel
	mine := e.waiting
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(mine, key)
	}
}

// ask asks the master until waiting is empty.
func (e *ends) ask(m *baetyl.Master, waiting map[instanceKey]context.CancelCauseFunc) {
	for pause := endsInterval; ; {
		time.Sleep(pause)
		e.mu.Lock()
		done := len(waiting) == 0
		e.mu.Unlock()
		if done {
			return
		}
		began := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), inspectTimeout)
		report, err := m.Inspect(ctx)
		cancel()
		pause = max(endsInterval, endsShare*time.Since(began))
		if err != nil {
			continue // an instance may be fine although the master does not answer
		}
		e.mu.Lock()
		for _, s := range report.Services {
			for _, i := range s.Instances {
				tell := waiting[instanceKey{s.Name, i.Name}]
				if reason := endOf(i); tell != nil && reason != nil {
					tell(reason)
				}
			}
		}
		e.mu.Unlock()
	}
}

// endOf says how an instance has ended; nil: it has not.
func endOf(i masterapi.Instance) error {
	switch i.Status {
	case masterapi.StatusRestarting, masterapi.StatusFailed, masterapi.StatusExited:
	default:
		return nil
	}
	text := fmt.Sprintf("instance %s has ended (%s)", i.Name, i.Status)
	if i.Error != "" {
		text += ": " + i.Error
	}
	if n := len(i.Output); n > 0 {
		if last := strings.TrimSpace(i.Output[n-1]); !strings.Contains(text, last) {
			text += ": " + last
		}
	}
	return errors.New(text)
}
