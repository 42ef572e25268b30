package update

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/keeper"
	"github.com/baetyl/baetyl/master/ota"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// fakeKeeper takes candidates and runs none.
type fakeKeeper struct {
	err   error  // that Try returns
	then  func() // that Try calls; nil: nothing
	tried []keeper.Trial
}

func (k *fakeKeeper) Try(t keeper.Trial) error {
	k.tried = append(k.tried, t)
	if k.then != nil {
		k.then()
	}
	return k.err
}

// Candidates: one that has a keeper, and one of a version before.
const (
	kept  = "#!/bin/sh\n[ $1 = check ] && echo OK!\n[ $1 = version ] && echo 'Keeper:       1'\nexit 0\n"
	plain = "#!/bin/sh\n[ $1 = check ] && echo OK!\nexit 0\n"
)

// pending is a device on which an update of the master has been accepted, with that candidate.
func pending(t *testing.T, starts int, candidate string) (*device, *fakeKeeper) {
	d, k := newDevice(t), &fakeKeeper{}
	d.beginMaster(func(u *ota.Update) { u.Starts = starts })
	d.write(d.program.Candidate(), candidate)
	d.opts.Keeper = k
	return d, k
}

// A start that finds a candidate counts it and leaves it to the keeper, three times in all.
func TestResume(t *testing.T) {
	for name, c := range map[string]struct {
		starts    int
		candidate string
		tried     bool
		plain     bool
	}{
		"accepted":       {0, kept, true, false},
		"tried before":   {maxStarts - 1, kept, true, false},
		"version before": {1, plain, true, true},
		"exhausted":      {maxStarts, kept, false, false},
		"says no more":   {0, "#!/bin/sh\nexit 1\n", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			d, k := pending(t, c.starts, c.candidate)
			require.Equal(t, c.tried, d.updater().resume(t.Context()))
			if !c.tried {
				require.Empty(t, k.tried)
				return
			}
			require.Equal(t, []keeper.Trial{{
				Candidate: d.opts.Program + ".new", Program: d.opts.Program, Plain: c.plain,
				Healthy: d.opts.Healthy, Deadline: d.opts.Deadline,
			}}, k.tried)
			f, _, err := d.readState()
			require.NoError(t, err)
			require.Equal(t, c.starts+1, f.update.Starts)
			require.Equal(t, []string{"UPDATING", "RESTARTED"}, d.steps())
		})
	}
}

// What the keeper says of a candidate is why it is given up, once: the start after it does not try again.
func TestRejected(t *testing.T) {
	for name, starts := range map[string]int{"once": 1, "at the last start": maxStarts} {
		t.Run(name, func(t *testing.T) {
			d, k := pending(t, starts, kept)
			d.opts.Rejected = "it ended with status 3"
			u := d.updater()
			require.False(t, u.resume(t.Context()))
			require.Equal(t, MasterGivenUp, d.state())
			require.NoError(t, u.start(t.Context()))
			require.Contains(t, u.app.Failure(), "it ended with status 3")
			require.Equal(t, []string{"UPDATING", "ROLLINGBACK", "ROLLEDBACK"}, d.steps())
			require.Equal(t, Idle, d.state())
			require.Equal(t, before, d.read(d.opts.Program))
			require.Empty(t, k.tried)
		})
	}
	t.Run("of the update before", func(t *testing.T) {
		d, k := pending(t, 0, kept)
		d.opts.Rejected = "it ended with status 3"
		require.True(t, d.updater().resume(t.Context()))
		require.Len(t, k.tried, 1)
	})
}

// A keeper that does not take the candidate: this master goes on, and so do its services.
func TestKeeperRefuses(t *testing.T) {
	for name, candidate := range map[string]string{"with a keeper": kept, "version before": plain} {
		t.Run(name, func(t *testing.T) {
			d := newDevice(t)
			d.write(d.files.app(), "version: before\nservices: [{name: a, image: i, replica: 1}]\n")
			d.write(filepath.Join(d.opts.Workdir, "var/db/baetyl/next"), candidate)
			d.opts.Keeper = &fakeKeeper{err: errors.New("boom")}
			p := d.run()
			p.idle()
			r := masterapi.UpdateRequest{Type: masterapi.UpdateMaster, Path: "var/db/baetyl/next"}
			require.NoError(t, p.Request(r, masterapi.By{}))
			p.idle()
			require.Equal(t, []string{"a"}, p.fake.Running())
			require.Contains(t, p.app.Failure(), "boom")
			require.Equal(t, []string{"UPDATING", "RESTARTING", "RESTARTED", "ROLLINGBACK", "ROLLEDBACK"}, d.steps())
			require.Equal(t, Idle, d.state())
			require.NoError(t, p.end())
		})
	}
}

// A signal that comes before the keeper has taken the candidate says nothing about it: the next start tries it.
func TestSignalBeforeTry(t *testing.T) {
	for name, atTry := range map[string]bool{"when the keeper is asked": true, "before": false} {
		t.Run(name, func(t *testing.T) {
			d, k := pending(t, 2, kept)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if atTry { // the master hears of the signal a moment later
				k.err, k.then = keeper.ErrStopping, func() { time.AfterFunc(50*time.Millisecond, cancel) }
			} else {
				cancel()
			}
			leave, err := d.updater().Run(ctx)
			require.NoError(t, err)
			require.False(t, leave)
			require.FileExists(t, d.program.Candidate())
			require.Equal(t, MasterTried, d.state())
			f, _, err := d.readState()
			require.NoError(t, err)
			require.Equal(t, 2, f.update.Starts)
			k.err, k.then = nil, nil
			require.True(t, d.updater().resume(t.Context()))
		})
	}
	t.Run("with services", func(t *testing.T) {
		d := newDevice(t)
		d.write(d.files.app(), "version: before\nservices: [{name: a, image: i, replica: 1}]\n")
		d.write(filepath.Join(d.opts.Workdir, "var/db/baetyl/next"), kept)
		asked := make(chan struct{})
		d.opts.Keeper = &fakeKeeper{err: keeper.ErrStopping, then: func() { close(asked) }}
		p := d.run()
		p.idle()
		r := masterapi.UpdateRequest{Type: masterapi.UpdateMaster, Path: "var/db/baetyl/next"}
		require.NoError(t, p.Request(r, masterapi.By{}))
		<-asked
		require.NoError(t, p.end())
		require.FileExists(t, d.program.Candidate())
		f, _, err := d.readState()
		require.NoError(t, err)
		require.Zero(t, f.update.Starts)
	})
}

// A candidate that is asked to end before it is the program does not count.
func TestSignalWhileTried(t *testing.T) {
	for name, parent := range map[string]bool{"the keeper's": false, "of a version before, which counts itself": true} {
		t.Run(name, func(t *testing.T) {
			d, _ := pending(t, 2, kept)
			ctx, cancel := context.WithCancel(t.Context())
			d.opts.HasParent = parent
			d.opts.Ready = func(ctx context.Context) error { cancel(); return ctx.Err() }
			require.NoError(t, d.updater().start(ctx))
			f, _, err := d.readState()
			require.NoError(t, err)
			require.Equal(t, map[bool]int{false: 1, true: 2}[parent], f.update.Starts)
		})
	}
}

// A candidate that is not the program in the end leaves everything as it is.
func TestReadyFails(t *testing.T) {
	d, _ := pending(t, 1, kept)
	d.opts.Ready = func(context.Context) error { return errors.New("boom") }
	require.ErrorIs(t, d.updater().start(t.Context()), ErrRejected)
	require.Equal(t, MasterTried, d.state())
	require.Equal(t, []string{"UPDATING"}, d.steps())
}

// A master without a keeper takes no new one.
func TestNoKeeper(t *testing.T) {
	d := newDevice(t)
	p := d.run()
	p.idle()
	err := p.Request(masterapi.UpdateRequest{Type: masterapi.UpdateMaster, Path: "x"}, masterapi.By{})
	require.ErrorIs(t, err, masterapi.ErrRefused)
	require.ErrorContains(t, err, "no keeper")
	require.NoError(t, p.end())
}
