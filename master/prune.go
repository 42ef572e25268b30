package master

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

const (
	pruneInterval = time.Hour
	pruneTimeout  = 4 * time.Minute // for one run: less than a caller waits
)

// Prune removes what nobody uses any more: images of any age, networks, and volumes if asked.
func (m *Master) Prune(ctx context.Context, r masterapi.PruneRequest) masterapi.Pruned {
	return m.prune(ctx, engine.Pruning{All: true, Volumes: r.Volumes, DryRun: r.DryRun})
}

func (m *Master) prune(ctx context.Context, p engine.Pruning) masterapi.Pruned {
	e, ok := m.engine.(engine.Pruner)
	if !ok {
		return masterapi.Pruned{
			DryRun: p.DryRun, Removed: []masterapi.PrunedItem{},
			Note: fmt.Sprintf("there is nothing to prune in mode %s: services leave no images, networks and volumes of docker",
				m.engine.Name()),
		}
	}
	ctx, cancel := context.WithTimeout(ctx, pruneTimeout)
	defer cancel()
	kept, err := m.updater.Kept()
	named := m.app.Named(kept)
	if err != nil {
		m.opts.Log.WithError(err).Warnf("cannot read the application that is kept for a rollback; only images are pruned")
		named = engine.Named{}
	}
	return e.Prune(ctx, named, p)
}

// prunes prunes as docker.prune says, every hour, and after each update, until ctx ends. Networks would use up the
// daemon's address pools otherwise.
func (m *Master) prunes(ctx context.Context) error {
	if _, ok := m.engine.(engine.Pruner); !ok {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(pruneInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-m.updated:
		}
		m.prune(ctx, engine.Pruning{}) // logged by the engine
	}
}

// Prune says when docker's images are removed that this master has pulled and nobody uses.
type Prune struct {
	// after this time without use, while the master runs; 0: not for their age
	Unused time.Duration `yaml:"unused" json:"unused" default:"168h" validate:"min=0s"`
	// as long as more of docker's disk is used, in percent with its sign; 100%: not for the disk
	Disk string `yaml:"disk" json:"disk" default:"85%"`
}

// Percent is Disk as a number.
func (p Prune) Percent() (int, error) {
	digits, ok := strings.CutSuffix(p.Disk, "%")
	n, err := strconv.ParseUint(digits, 10, 8)
	if !ok || err != nil || n == 0 || n > 100 {
		return 0, fmt.Errorf("disk: %q is not a share of the disk; write 1%% to 100%%, as in 85%%", p.Disk)
	}
	return int(n), nil
}
