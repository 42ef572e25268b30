package store_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/record"
	"github.com/baetyl/baetyl/internal/faultfs"
	"github.com/baetyl/baetyl/internal/faultldb"
	"github.com/baetyl/baetyl/utils/file"
)

// Random work with restarts, and one random fault of the log's disk. HUB_FAULTS=1 takes more seeds.
func TestRandomFaults(t *testing.T) {
	seeds := uint64(40)
	if os.Getenv("HUB_FAULTS") != "" {
		seeds = 500
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { randomFault(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func randomFault(t *testing.T, rnd *rand.Rand) {
	fault := faultfs.Fault{N: 30 + rnd.IntN(600), Kind: faultfs.All[rnd.IntN(len(faultfs.All))]}
	fs := faultfs.New(t, fault)
	d := &onDisk{
		t: t, log: fs.Disk(), dir: filepath.Join(fs.Dir(), "data"), state: faultldb.New(), known: knowledge{sure: facts{}},
		quiet: true,
	}
	fs.Start()
	ended := func() bool { return fault.Kind.Ends() && fs.Met() }
	d.state.Fail(func(faultldb.Op) error {
		if ended() {
			return faultfs.ErrOff
		}
		return nil
	})
	if d.begin() {
		for range 200 {
			if ended() || !d.random(rnd) {
				break
			}
		}
	}
	d.state.Cut()
	if d.s != nil {
		_ = d.s.Close()
	}
	fs.Reboot()
	d.state.Fail(nil)
	d.log = file.OS
	d.after()
}

// begin makes the sessions.
func (d *onDisk) begin() bool {
	if _, err := d.start(); err != nil {
		return false
	}
	for range 3 {
		if d.write(func(b batch) {
			b.PutSession(1, "one", "u")
			b.PutSession(2, "two", "u")
			b.facts["s1"], b.facts["s2"] = "one", "two"
		}) == nil {
			return true
		}
	}
	return false
}

// random does one step; false: the store could not be opened again.
func (d *onDisk) random(rnd *rand.Rand) bool {
	switch n := 1 + rnd.Uint64N(2); rnd.IntN(20) {
	case 0:
		return d.reopen(rnd.IntN(2) == 0)
	case 1, 2:
		_ = d.write(func(b batch) { d.ack(b, n, rnd.Uint64N(d.next[n]+1)) })
	case 3, 4, 5:
		_ = d.write(func(b batch) { d.ack(b, n, min(d.next[n], rnd.Uint64N(4))) })
	case 6:
		_ = d.write(func(b batch) {
			text := fmt.Sprint("retained ", rnd.IntN(100))
			b.Publish(&record.Publication{Message: message("r", text), Retain: true})
			b.facts["rr"] = text
		})
	case 7:
		d.s.Maintain()
	case 8, 9, 10:
		_ = d.write(func(b batch) { d.put(b, 0, 1, 2) })
	default:
		_ = d.write(func(b batch) {
			for range 1 + rnd.IntN(3) {
				d.put(b, 0, n)
			}
		})
	}
	return true
}

// reopen ends the store, cleanly or not, and opens it again.
func (d *onDisk) reopen(clean bool) bool {
	if !clean {
		d.state.Kill()
	}
	_ = d.s.Close()
	d.state.Kill()
	d.s = nil
	for range 3 {
		found, err := d.start()
		if err == nil {
			d.known.check(d.t, found)
			d.known.settle(found)
			return true
		}
		d.state.Kill()
	}
	require.True(d.t, d.s == nil)
	return false
}
