package update

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/faultfs"
	"github.com/baetyl/baetyl/master/application"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

var errAway = fmt.Errorf("daemon does not answer: %w", engine.ErrUnavailable)

// updating runs test with a master that runs oldApp, in a synctest bubble.
func updating(t *testing.T, test func(t *testing.T, v *victim, p *process)) {
	v := newVictim(t, faultfs.New(t, faultfs.Fault{}))
	synctest.Test(t, func(t *testing.T) {
		v.t = t
		p := v.boot(whole(t))
		defer p.end()
		p.idle()
		test(t, v, p)
		require.NoError(t, p.end())
	})
}

func (p *process) request(t *testing.T) {
	t.Helper()
	require.NoError(t, p.Request(masterapi.UpdateRequest{Trace: "t", Path: "var/db/baetyl/next"}, masterapi.By{}))
}

// An engine that is away in an update, before or after services were stopped, is waited for.
func TestUpdateWaitsForTheEngine(t *testing.T) {
	for name, away := range map[string]func(*process, error){
		"prepare": func(p *process, err error) { p.fake.FailOpen("other", err) },
		"start":   func(p *process, err error) { p.fake.FailStart("other", err) },
	} {
		t.Run(name, func(t *testing.T) {
			updating(t, func(t *testing.T, v *victim, p *process) {
				away(p, errAway)
				p.request(t)
				time.Sleep(40 * time.Second)
				require.Empty(t, v.final())
				away(p, nil)
				p.idle()
				v.settled(p, true, newApp, oldProgram)
			})
		})
	}
}

// One that is away for longer than update.deadline: the update is rolled back. What ran goes on when the engine is
// back, also with the next master, and nothing of the new application ever starts.
func TestUpdateGivesUpOnTheEngine(t *testing.T) {
	for name, away := range map[string]func(*process, error){
		"prepare": func(p *process, err error) { p.fake.FailOpen("other", err) },
		"start": func(p *process, err error) {
			for _, i := range []string{"other", "worker", "worker.i1"} {
				p.fake.FailStart(i, err)
			}
		},
		"open": func(p *process, err error) {
			synctest.Wait()
			p.fake.FailStart("other", err)
			p.fake.FailOpen("worker", err) // the old one
		},
	} {
		for _, restarted := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, restarted: %t", name, restarted), func(t *testing.T) {
				updating(t, func(t *testing.T, v *victim, p *process) {
					away(p, errAway)
					p.request(t)
					p.idle()
					require.Equal(t, masterapi.StepRolledBack, v.final())
					require.Equal(t, oldApp, v.read(application.File))
					time.Sleep(time.Hour)
					require.NotContains(t, p.fake.Running(), "other")
					if restarted {
						require.NoError(t, p.end())
						p = v.boot(v.opts.Disk)
						defer p.end()
						p.idle()
					}
					away(p, nil)
					time.Sleep(time.Minute)
					v.settled(p, true, oldApp, oldProgram)
					require.NoError(t, p.end())
				})
			})
		}
	}
}

// An engine that comes and goes costs no service of the new application its health.
func TestUpdateOverAnInterruption(t *testing.T) {
	updating(t, func(t *testing.T, v *victim, p *process) {
		v.opts.Healthy = 10 * time.Second
		p.SetTimes(10*time.Second, time.Minute)
		p.request(t)
		for range 3 {
			time.Sleep(5 * time.Second)
			p.fake.Interrupt("other")
		}
		p.idle()
		v.settled(p, true, newApp, oldProgram)
	})
}

// Without a backup what ran before is put back all the same, as long as it is known.
func TestWhatRanIsPutBack(t *testing.T) {
	d := newDevice(t)
	d.updater().app.Set(&app.Config{}, []byte(before))
	lying[AppStuck].lay(d)
	version, failure := d.start()
	require.Equal(t, "before", version)
	require.Contains(t, failure, "boom")
	require.Equal(t, []string{masterapi.StepRolledBack}, finals(d.steps()))
	require.Equal(t, before, d.read(d.files.app()))
}

// A rename that fails does not leave the application that has failed in place: the old one is written anew.
func TestBackupThatCannotBePutBack(t *testing.T) {
	d := newDevice(t)
	d.write(d.files.app(), after)
	d.write(d.files.backup()+"/full", "a folder: no file can be renamed over it, and it is no backup")
	u := d.updater()
	undone, err := u.undo(t.Context(), accepted{conf: &app.Config{}}, &app.Config{}, []byte(before), engine.Images{},
		errors.New("boom"))
	require.ErrorContains(t, err, "boom")
	require.True(t, undone)
	require.Equal(t, before, d.read(d.files.app()))
}
