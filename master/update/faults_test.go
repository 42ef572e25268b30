package update

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/faultfs"
	"github.com/baetyl/baetyl/master/application"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/enginetest"
	"github.com/baetyl/baetyl/master/history"
	"github.com/baetyl/baetyl/master/service"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
)

// faults are every nth one; UPDATE_FAULTS=1 is all of them.
func faults(n int) faultfs.Options { return faultfs.Sample("UPDATE_FAULTS", n) }

// Versions of the application, and of the program: it checks itself, and says that it has a keeper.
const (
	oldApp = "version: old\nservices:\n  - {name: kept, image: i, replica: 1}\n" +
		"  - {name: worker, image: old, replica: 2}\n"
	newApp = "version: new\nservices:\n  - {name: kept, image: i, replica: 1}\n" +
		"  - {name: other, image: new, replica: 1}\n"

	oldProgram = "#!/bin/sh\nexit 9\n"
	newProgram = kept
)

var instances = map[string][]string{oldApp: {"kept", "worker", "worker.i1"}, newApp: {"kept", "other"}}

// victim is a working directory on a disk with faults.
type victim struct {
	t    *testing.T
	dir  string
	opts Options
}

func newVictim(t *testing.T, d *faultfs.FS) *victim {
	v := &victim{t: t, dir: d.Dir(), opts: Options{
		Workdir: d.Dir(), OTALog: filepath.Join(d.Dir(), masterapi.OTALog), Program: filepath.Join(d.Dir(), "bin/baetyl"),
		Healthy: time.Millisecond, Deadline: time.Minute, Log: log.Discard(), Disk: d.Disk(), Keeper: &fakeKeeper{},
	}}
	v.write(application.File, oldApp)
	v.write("var/db/baetyl/next/application.yml", newApp)
	v.write("var/db/baetyl/next/bin/baetyl", newProgram)
	v.write("bin/baetyl", oldProgram)
	return v
}

func (v *victim) write(name, content string) {
	v.t.Helper()
	path := filepath.Join(v.dir, name)
	require.NoError(v.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(v.t, os.WriteFile(path, []byte(content), 0o755))
}

func (v *victim) read(name string) string {
	v.t.Helper()
	data, err := os.ReadFile(filepath.Join(v.dir, name))
	require.NoError(v.t, err)
	return string(data)
}

// whole is a disk without faults, which spares the real one its syncs.
func whole(t *testing.T) file.Disk { return faultfs.New(t, faultfs.Fault{}).Disk() }

// process is a master: what it runs, and how it ends.
type process struct {
	*Updater
	fake  *enginetest.Fake
	end   func() error  // asks it to end and waits
	ended chan struct{} // closed when it has ended; then left and err are set
	left  bool          // a successor is to run
	err   error
}

// newProcess returns a master that runs nothing yet. Everything of it is forgotten when it ends, and its services too.
func newProcess(opts Options) *process {
	fake := enginetest.NewFake()
	return newProcessWith(fake, fake, opts)
}

// newProcessWith is newProcess with an engine that is fake, or is made of it.
func newProcessWith(e engine.Engine, fake *enginetest.Fake, opts Options) *process {
	p := &process{fake: fake, ended: make(chan struct{})}
	services := service.New(service.Options{
		Engine: e, Grace: time.Second, Log: opts.Log, Reading: time.Millisecond,
		Records: service.NewRecords(filepath.Join(opts.Workdir, "var/run/baetyl/instances.json"), opts.Disk, opts.Log),
	})
	a := application.Options{
		Engine: e, Services: services, Log: opts.Log, Workdir: opts.Workdir, Disk: opts.Disk,
	}
	p.Updater = New(application.New(a), opts)
	return p
}

func (p *process) begin() {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(p.ended)
		p.left, p.err = p.Run(ctx)
		p.err = errors.Join(p.err, p.app.StopAll())
	}()
	p.end = sync.OnceValue(func() error { cancel(); <-p.ended; return p.err })
}

// boot starts a master on disk.
func (v *victim) boot(disk file.Disk) *process {
	v.opts.Disk = disk
	p := newProcess(v.opts)
	p.begin()
	return p
}

// idle waits until the application has started and no update runs, and returns true; false: the master has ended.
func (p *process) idle() bool {
	select {
	case <-p.free:
		p.free <- struct{}{}
		return true
	case <-p.ended:
		return false
	}
}

// follow waits until p is idle, or one of those that a keeper starts after it: the candidate, and when that is rejected
// the old one.
func (v *victim) follow(p *process) *process {
	k := v.opts.Keeper.(*fakeKeeper)
	opts, disk := v.opts, v.opts.Disk
	defer func() { v.opts = opts }()
	for !p.idle() {
		v.opts = opts
		if p.left {
			last := k.tried[len(k.tried)-1]
			v.opts.Ready = func(context.Context) error {
				return errors.Join(disk.Rename(last.Candidate, last.Program), disk.SyncDir(filepath.Dir(last.Program)))
			}
		} else {
			v.opts.Rejected = p.err.Error()
		}
		p = v.boot(disk)
	}
	return p
}

// steps are those of the log, none while there is none.
func (v *victim) steps() (out []string) {
	v.t.Helper()
	f, err := os.Open(v.opts.OTALog)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	require.NoError(v.t, err)
	defer f.Close()
	records, err := masterapi.ReadOTALog(f)
	require.NoError(v.t, err)
	for _, r := range records {
		out = append(out, r.Step)
	}
	return out
}

// final is the step that ended the update, empty when there is none. There is never more than one.
func (v *victim) final() string {
	v.t.Helper()
	ends := finals(v.steps())
	require.LessOrEqual(v.t, len(ends), 1, "%s", v.steps())
	return strings.Join(ends, "")
}

// running are the digests of what runs, as the history says.
func running(p *process) (out []string) {
	for _, e := range p.History().List() {
		if e.Result == masterapi.ResultRunning {
			out = append(out, e.SHA256)
		}
	}
	return out
}

// settled checks a device whose update has ended: nothing is left over, and the log says what runs.
func (v *victim) settled(p *process, accepted bool, app, program string) {
	v.t.Helper()
	require.Equal(v.t, instances[app], p.fake.Running(), "instances of %q", app)
	require.Empty(v.t, v.leftOvers())
	require.Equal(v.t, []string{digest([]byte(app))}, running(p), "the history knows what runs")
	_, kept, err := application.ReadLast(file.OS, v.dir)
	require.NoError(v.t, err)
	require.Equal(v.t, app, string(kept), "the copy is of what runs")
	_, state, err := newDisk(v.opts, nil).readState()
	require.NoError(v.t, err)
	require.Equal(v.t, Idle, state)
	changed := app != oldApp || program != oldProgram
	switch step := v.final(); {
	case changed:
		require.Equal(v.t, masterapi.StepUpdated, step)
	case accepted:
		require.Contains(v.t, []string{masterapi.StepRolledBack, masterapi.StepFailure}, step)
	default:
		require.NotEqual(v.t, masterapi.StepUpdated, step)
	}
}

// leftOvers are files that exist only during an update.
func (v *victim) leftOvers() (names []string) {
	v.t.Helper()
	rest := []string{application.File, "var/db/baetyl/next/application.yml", "var/db/baetyl/next/bin/baetyl", "bin/baetyl",
		masterapi.OTALog, "var/run/baetyl/instances.json", application.LastFile}
	require.NoError(v.t, filepath.WalkDir(v.dir, func(path string, e os.DirEntry, err error) error {
		name, _ := filepath.Rel(v.dir, path)
		if err == nil && !e.IsDir() && !slices.Contains(rest, name) && filepath.Dir(name) != history.Dir {
			names = append(names, name)
		}
		return err
	}))
	return names
}

// Whatever operation of the disk fails in an update of the application, and how, and whenever the power fails: the old
// application runs, or the new one, whole; the log says which, once; the next update works. What was logged as done
// stays done.
func TestAppUpdateWithDiskFaults(t *testing.T) {
	for name, broken := range map[string]bool{"good": false, "bad": true} {
		t.Run(name, func(t *testing.T) {
			faultfs.Each(t, faults(11), func(t *testing.T, d *faultfs.FS) {
				v := newVictim(t, d)
				synctest.Test(t, func(t *testing.T) {
					v.t = t
					v.updateApp(d, broken)
				})
			})
		})
	}
}

func (v *victim) updateApp(d *faultfs.FS, broken bool) {
	t := v.t
	p := v.boot(d.Disk())
	defer p.end()
	if broken {
		p.fake.FailStart("other", errors.New("boom"))
	}
	p.idle()
	d.Start()
	refused := p.Request(masterapi.UpdateRequest{Trace: "t", Path: "var/db/baetyl/next"}, masterapi.By{})
	p.idle()
	step := v.final()
	// What was not logged, or could not be put back, is settled by the next start.
	if !d.Fault().Kind.Ends() && step != "" && step != masterapi.StepFailure {
		app := v.read(application.File)
		require.Equal(t, step == masterapi.StepUpdated, app == newApp, "logged: %s", step)
		require.Equal(t, instances[app], p.fake.Running(), "logged: %s", step)
	}
	if !d.Met() && refused == nil {
		require.Equal(t, map[bool]string{true: masterapi.StepRolledBack, false: masterapi.StepUpdated}[broken], step)
	}
	d.Reboot()
	_ = p.end()

	next := v.boot(whole(t))
	defer next.end()
	next.idle()
	app := v.read(application.File)
	require.Contains(t, []string{oldApp, newApp}, app)
	if step != "" && refused == nil {
		require.Equal(t, step == masterapi.StepUpdated, app == newApp, "logged before: %s", step)
	}
	if refused != nil && !d.Fault().Kind.Ends() {
		require.Equal(t, oldApp, app)
	}
	v.settled(next, refused == nil, app, oldProgram)

	time.Sleep(time.Second) // of the bubble: no two updates begin at the same moment
	require.NoError(t, next.Request(masterapi.UpdateRequest{Trace: "u", Path: "var/db/baetyl/next"}, masterapi.By{}))
	next.idle()
	v.settled(next, true, newApp, oldProgram)
	require.NoError(t, next.end())
}

// The same for the program of the master.
func TestMasterUpdateWithDiskFaults(t *testing.T) {
	faultfs.Each(t, faults(17), func(t *testing.T, d *faultfs.FS) { newVictim(t, d).updateMaster(d) })
}

func (v *victim) updateMaster(d *faultfs.FS) {
	t := v.t
	p := v.boot(d.Disk())
	p.idle()
	d.Start()
	r := masterapi.UpdateRequest{Type: masterapi.UpdateMaster, Trace: "t", Path: "var/db/baetyl/next"}
	refused := p.Request(r, masterapi.By{})
	p = v.follow(p)
	step := v.final()
	d.Reboot()
	_ = p.end()

	next := v.follow(v.boot(whole(t)))
	program := v.read("bin/baetyl")
	require.Contains(t, []string{oldProgram, newProgram}, program)
	if step != "" && refused == nil {
		require.Equal(t, step == masterapi.StepUpdated, program == newProgram, "logged before: %s", step)
	}
	if d.Fault().Kind == faultfs.None {
		require.Equal(t, newProgram, program)
	}
	if refused != nil && !d.Fault().Kind.Ends() {
		require.Equal(t, oldProgram, program)
	}
	v.settled(next, refused == nil, oldApp, program)
	require.NoError(t, next.end())
}

// Whatever operation of a restart fails, and however, in each state: the next start comes to the same end.
func TestRestartWithDiskFaults(t *testing.T) {
	for state, c := range lying {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel() // each waits for the disk most of the time
			faultfs.Each(t, faults(5), func(t *testing.T, disk *faultfs.FS) {
				d := deviceIn(t, disk.Dir())
				c.lay(d)
				d.opts.Disk = disk.Disk()
				disk.Start()
				_ = d.updater().start(t.Context())
				disk.Reboot()

				d.opts.Disk = file.OS
				version, _ := d.start()
				require.Equal(t, Idle, d.state())
				require.Equal(t, c.program, d.read(d.opts.Program))
				want := []string{c.step}
				if disk.Fault().Kind == faultfs.Error && version != c.version {
					// A backup that cannot be read is taken for damaged, and the new application stays.
					want = map[State][]string{
						AppSwapped: {masterapi.StepUpdated}, AppUndoing: {masterapi.StepUpdated}, StrayBackup: {""},
					}[state]
					require.NotNil(t, want, state)
					require.Equal(t, "after", version)
				} else {
					require.Equal(t, c.version, version)
				}
				require.Equal(t, want, append(finals(d.steps()), "")[:1])
			})
		})
	}
}

// finals are the final ones of some steps.
func finals(steps []string) (out []string) {
	for _, s := range steps {
		if masterapi.Final(s) {
			out = append(out, s)
		}
	}
	return out
}
