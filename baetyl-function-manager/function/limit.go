package function

import (
	"context"
	"sync"
	"time"

	"github.com/baetyl/baetyl/baetyl-function-manager/config"
	rpc "github.com/baetyl/baetyl/sdk/baetyl-go/function"
)

// startLimit is how long a start keeps others waiting. One that takes longer waits for something other than a
// processor: an image, a network, or an instance that never answers.
const startLimit = 2 * time.Second

// Limit returns a Starter that starts at most n instances at once, in the order in which they are asked for. A start
// needs a processor nearly all the time, so more at once would make each of them later, and none earlier.
func Limit(s Starter, n int) Starter { return &limited{s, make(chan struct{}, n)} }

type limited struct {
	Starter
	room chan struct{}
}

// Start waits for its turn, or until ctx ends.
func (l *limited) Start(ctx context.Context, f config.Function, id int) (*rpc.Client, error) {
	select {
	case l.room <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	leave := sync.OnceFunc(func() { <-l.room })
	defer leave()
	defer time.AfterFunc(startLimit, leave).Stop()
	return l.Starter.Start(ctx, f, id)
}
