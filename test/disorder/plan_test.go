//go:build linux

package disorder_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// step is one thing that happens to the device.
type step struct {
	action string
	target string        // an instance, network or image; what it is depends on the action
	number int           // for what an action has to choose
	pause  time.Duration // after it
}

func (s step) String() string { return strings.TrimSpace(s.action + " " + s.target) }

// actions are all that can happen, with what they happen to. DISORDER_WITHOUT switches some off.
var actions = []struct {
	name    string
	targets []string
}{
	{"prune", nil}, // docker system prune -af --volumes
	{"daemon-stop", nil},
	{"daemon-kill", nil},
	{"daemon-hang", nil},
	{"daemon-replace", nil},
	{"daemon-up", nil},     // after stop, kill or hang; else nothing
	{"live-restore", nil},  // on or off, from the next start of the daemon
	{"remove", instances},  // docker rm -f
	{"rename", instances},  //
	{"pause", instances},   //
	{"stop", instances},    // docker stop
	{"kill", instances},    // docker kill
	{"restart", instances}, // docker restart
	{"disconnect", instances},
	{"network-remove", []string{"baetyl", "front", "back"}}, // with everything disconnected from it
	{"image-remove", []string{"app/a", "app/b"}},            // docker rmi -f
	{"tag-move", []string{"app/a", "app/b"}},                // in the registry
	{"master-kill", nil},                                    // its keeper starts it again
	{"keeper-kill", nil},                                    // and the master, both with SIGKILL
	{"update", nil},
	{"update", nil}, // more often than others
}

var instances = []string{"web", "worker", "worker.i1", "edge", "plain"}

// plan chooses what happens. The same seed chooses the same, whatever is switched off and however long it takes.
type plan struct {
	random *rand.Rand
	off    []string
}

func newPlan(seed uint64, off []string) *plan {
	return &plan{random: rand.New(rand.NewPCG(seed, 25)), off: off}
}

// round returns what happens until the device is looked at again.
func (p *plan) round() (steps []step) {
	for range 2 + p.random.IntN(5) {
		a := actions[p.random.IntN(len(actions))]
		s := step{action: a.name, number: p.random.IntN(1 << 20)}
		if len(a.targets) > 0 {
			s.target = a.targets[s.number%len(a.targets)]
		}
		s.pause = time.Duration(p.random.IntN(3000)) * time.Millisecond
		if p.random.IntN(3) == 0 {
			s.pause = 0
		}
		if !slices.Contains(p.off, s.action) {
			steps = append(steps, s)
		}
	}
	return steps
}

func TestPlan(t *testing.T) {
	text := func(seed uint64, off ...string) (out []string) {
		p := newPlan(seed, off)
		for range 50 {
			for _, s := range p.round() {
				out = append(out, fmt.Sprint(s, " ", s.number, " ", s.pause))
			}
		}
		return out
	}
	require.Equal(t, text(7), text(7))
	require.NotEqual(t, text(7), text(8))
	without := slices.DeleteFunc(text(7), func(s string) bool { return strings.HasPrefix(s, "prune") })
	require.Equal(t, without, text(7, "prune"))
	all := strings.Join(text(7), "\n")
	for _, a := range actions {
		require.Contains(t, all, a.name)
	}
}
