package update

import (
	"bytes"
	"context"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/baetyl/baetyl/master/events"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// maxSteps is how many steps of an update are kept for those who watch it; of what comes after only the lines of its
// log are, which are few.
const maxSteps = 500

// progress is what is known of the update that runs, or of the last one: the lines of its log, and while this master
// carries it out, what happens between them. Its methods may be called from any goroutine.
type progress struct {
	events *events.Ring

	mu      sync.Mutex // guards what follows
	state   masterapi.UpdateState
	ended   map[Result]uint64
	changed chan struct{} // closed by the next step
}

func newProgress(e *events.Ring) *progress {
	return &progress{events: e, changed: make(chan struct{}), ended: map[Result]uint64{}}
}

// Result is how an update has ended.
type Result struct {
	Type string // masterapi.UpdateApp or UpdateMaster
	Step string // masterapi.StepUpdated, StepRolledBack or StepFailure
}

// Results counts the updates that have ended since this master has started.
func (u *Updater) Results() map[Result]uint64 {
	u.progress.mu.Lock()
	defer u.progress.mu.Unlock()
	return maps.Clone(u.progress.ended)
}

// load takes the log at path over, of an update that an earlier master has begun or ended.
func (p *progress) load(path string) {
	data, err := os.ReadFile(path)
	if err != nil {
		return // there was none, or those who need the log say what is wrong with it
	}
	lines, _ := masterapi.ReadOTALog(bytes.NewReader(data))
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range lines {
		p.add(r)
	}
}

// written is told each line of the log.
func (p *progress) written(r masterapi.OTARecord) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.add(r)
	if masterapi.Final(r.Step) {
		p.ended[Result{r.Type, r.Step}]++
	}
	text := r.Msg
	if r.Error != "" {
		text += ": " + r.Error
	}
	p.events.Add(masterapi.EventUpdate+strings.ToLower(r.Step), "", "", text,
		map[string]string{"type": r.Type, "trace": r.Trace})
}

// add adds a line of the log. The first one of an update begins anew.
func (p *progress) add(r masterapi.OTARecord) {
	if !p.state.Running || r.Type != p.state.Type || r.Trace != p.state.Trace {
		p.state = masterapi.UpdateState{Running: true, Type: r.Type, Trace: r.Trace}
	}
	if masterapi.Final(r.Step) {
		p.state.Running, p.state.Result, p.state.Reason = false, r.Step, r.Error
	}
	p.step(masterapi.UpdateStep{Time: r.Time.Format(time.RFC3339Nano), Step: r.Step, Text: r.Msg, Error: r.Error})
}

// say adds what happens between two lines of the log.
func (p *progress) say(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.state.Running && len(p.state.Steps) < maxSteps {
		p.step(masterapi.UpdateStep{Time: time.Now().UTC().Format(time.RFC3339Nano), Text: text})
	}
}

func (p *progress) step(s masterapi.UpdateStep) {
	p.state.Steps = append(p.state.Steps, s)
	close(p.changed)
	p.changed = make(chan struct{})
}

// State returns the update that runs, or the last one, with its steps but for the first after. When there is no other
// step it waits for one, until ctx ends.
func (u *Updater) State(ctx context.Context, after int) masterapi.UpdateState {
	p := u.progress
	for {
		p.mu.Lock()
		out, changed := p.state, p.changed
		p.mu.Unlock()
		out.Seen = len(out.Steps)
		if after > len(out.Steps) { // of another update, or of the master before
			after = 0
		}
		out.Steps = slices.Clone(out.Steps[after:])
		if len(out.Steps) > 0 || ctx.Err() != nil {
			return out
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}
