package sim_test

import (
	"os"
	"testing"
)

// bug is a fault that a build has and the hub has not: docs/simulation.md lists them.
type bug struct {
	name    string
	patches []patch
}

const (
	publishFile  = "../core/publish.go"
	finishFile   = "../core/finish.go"
	ownerFile    = "../core/owner.go"
	applyFile    = "../store/apply.go"
	stateFile    = "../store/state.go"
	retainedFile = "../core/retained.go"
)

var bugs = []bug{
	{"early PUBACK", []patch{
		{publishFile, "\tx.queued = true\n\tif x.from != nil {\n",
			"\tx.queued = true\n\tif x.from != nil && x.s == nil && x.m.QOS == 1 {\n" +
				"\t\tc.sendID(x.from, packet.PUBACK, x.id)\n\t}\n\tif x.from != nil {\n"},
		{finishFile, "x.m.QOS == 1 && err == nil {\n", "x.m.QOS == 1 && err == nil && !x.queued {\n"},
	}},
	{"lost cursor", []patch{
		{stateFile, "c.batch.Put(keyPart(d.number, kindAcked), ackedValue(d))", "_ = ackedValue(d)"},
	}},
	{"doubled QoS 2", []patch{
		{applyFile, "x.changes.put(keyReceived(p.Receiver, p.ID), nil)", "_ = keyReceived(p.Receiver, p.ID)"},
	}},
	{"stale retained value", []patch{
		{retainedFile, "*c.retained.Put(m.Topic) = kept{*m, c.seq, owner, c.now.UnixNano()}",
			"if old := c.retained.Put(m.Topic); old.Topic == \"\" || m.QOS > 0 {\n\t\t*old = kept{*m, c.seq, owner, 0}\n\t}"},
	}},
	{"QoS 2 id that is never free", []patch{
		{applyFile, "x.changes.remove(keyReceived(number, id))", "_ = keyReceived(number, id)"},
	}},
	{"ACL that is not read again", []patch{
		{ownerFile, "if !cl.user.Equal(c.users.User(cl.user.Name)) {", "if c.users.User(cl.user.Name) == nil {"},
	}},
	{"session of another user", []patch{
		{ownerFile, "return s.user == \"\" || s.user == cl.user.Name", "return true"},
	}},
}

// The source has each place that a bug replaces, once: TestBugs itself runs seldom.
func TestBugsFit(t *testing.T) {
	for _, b := range bugs {
		t.Run(b.name, func(t *testing.T) { patched(t, b.patches) })
	}
}

// TestBugs builds the hub with each bug and looks for the first seed that finds it, at most the 200th.
func TestBugs(t *testing.T) {
	if os.Getenv("SIM_BUGS") == "" {
		t.Skip("make sim-bugs runs it: a build for each")
	}
	var seeds []uint64
	for i := range number(t, "SIM_SEEDS", 200) {
		seeds = append(seeds, 1+i)
	}
	for _, b := range bugs {
		t.Run(b.name, func(t *testing.T) {
			program := build(t, t.TempDir(), append(fixedRuntime(), b.patches...))
			found := false
			find(t, program, seeds, func(seed uint64, out []byte, _ error) bool {
				found = true
				t.Logf("found by seed %d: %s", seed, reason(out))
				return true
			})
			if !found {
				t.Errorf("no seed up to %d finds it", len(seeds))
			}
		})
	}
}
