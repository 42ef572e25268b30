package update

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/faultfs"
	"github.com/baetyl/baetyl/master/application"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/enginetest"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/file"
)

// imager is an engine with images, whose instances run the image that their name meant when they started.
type imager struct {
	*enginetest.Fake
	registry map[string]string // what names mean; of all masters

	mu   sync.Mutex // guards what follows
	now  engine.Images
	runs map[string]string // image of each instance that was started last
	bad  string            // image that does not start
}

func newImager(registry map[string]string) *imager {
	return &imager{Fake: enginetest.NewFake(), registry: registry, runs: map[string]string{}}
}

func (e *imager) Resolve(_ context.Context, name string, was engine.Image) (engine.Image, error) {
	if was.ID != "" {
		return was, nil
	}
	return engine.Image{ID: e.registry[name]}, nil
}

func (e *imager) Use(now engine.Images, _ bool) { e.mu.Lock(); defer e.mu.Unlock(); e.now = now }

func (e *imager) Images() engine.Images { e.mu.Lock(); defer e.mu.Unlock(); return e.now }

func (e *imager) Open(ctx context.Context, s engine.Service) (engine.Sandbox, error) {
	box, err := e.Fake.Open(ctx, s)
	return boxOfImages{box, e, s}, err
}

type boxOfImages struct {
	engine.Sandbox
	engine  *imager
	service engine.Service
}

func (b boxOfImages) Start(ctx context.Context, s engine.Spec) (engine.Instance, error) {
	b.engine.mu.Lock()
	id := b.engine.now.Running[b.service.Image].ID
	b.engine.runs[s.Name] = id
	b.engine.mu.Unlock()
	if id != "" && id == b.engine.bad {
		return nil, errors.New("a bad image")
	}
	return b.Sandbox.Start(ctx, s)
}

// ran returns the image of each instance that runs.
func (e *imager) ran() map[string]string {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := map[string]string{}
	for _, i := range e.Running() {
		out[i] = e.runs[i]
	}
	return out
}

// bootWith starts a master whose images registry gives.
func (v *victim) bootWith(disk file.Disk, e *imager) *process {
	v.opts.Disk = disk
	p := newProcessWith(e, e.Fake, v.opts)
	p.begin()
	return p
}

var (
	meant = map[string]string{"kept": "i1", "worker": "o1", "worker.i1": "o1"} // before the tag old has moved
	moved = map[string]string{"kept": "i1", "worker": "o2", "worker.i1": "o2"}
)

// An update to the same application.yml takes what the names of images mean now, and goes back to what they meant,
// whenever the disk fails or the power: all services run the images of the same record, which is that of the log.
func TestMovedTagWithDiskFaults(t *testing.T) {
	for name, bad := range map[string]string{"good": "", "bad": "o2"} {
		t.Run(name, func(t *testing.T) {
			faultfs.Each(t, faults(7), func(t *testing.T, d *faultfs.FS) {
				v := newVictim(t, d)
				v.write("var/db/baetyl/next/application.yml", oldApp)
				synctest.Test(t, func(t *testing.T) {
					v.t = t
					v.moveTag(d, bad)
				})
			})
		})
	}
}

func (v *victim) moveTag(d *faultfs.FS, bad string) {
	t := v.t
	record := engine.NewImagesFile(filepath.Join(v.dir, engine.ImagesFile), d.Disk(), v.opts.Log)
	require.NoError(t, record.Save(engine.Images{App: digest([]byte(oldApp)), Running: map[string]engine.Image{
		"i": {ID: "i1"}, "old": {ID: "o1"},
	}}))
	registry := map[string]string{"i": "i1", "old": "o2"}
	e := newImager(registry)
	e.bad = bad
	p := v.bootWith(d.Disk(), e)
	defer p.end()
	p.idle()
	require.Equal(t, meant, e.ran(), "a start changes nothing")
	d.Start()
	refused := p.Request(masterapi.UpdateRequest{Trace: "t", Path: "var/db/baetyl/next"}, masterapi.By{})
	p.idle()
	step := v.final()
	if !d.Fault().Kind.Ends() && step != "" && step != masterapi.StepFailure {
		require.Equal(t, map[bool]map[string]string{true: moved, false: meant}[step == masterapi.StepUpdated], e.ran())
	}
	if !d.Met() && refused == nil {
		require.Equal(t, map[bool]string{true: masterapi.StepRolledBack, false: masterapi.StepUpdated}[bad != ""], step)
	}
	d.Reboot()
	_ = p.end()

	e = newImager(registry)
	next := v.bootWith(whole(t), e)
	defer next.end()
	next.idle()
	runs := e.ran()
	want := meant
	if v.final() == masterapi.StepUpdated {
		want = moved
	}
	require.Equal(t, want, runs, "logged: %s", v.final())
	if step != "" && refused == nil {
		require.Equal(t, step == masterapi.StepUpdated, maps.Equal(runs, moved), "logged before: %s", step)
	}
	require.Equal(t, oldApp, v.read(application.File))
	require.NoFileExists(t, filepath.Join(v.dir, stagedFile))

	require.NoError(t, next.Request(masterapi.UpdateRequest{Trace: "u", Path: "var/db/baetyl/next"}, masterapi.By{}))
	next.idle()
	require.Equal(t, moved, e.ran())
	require.Equal(t, masterapi.StepUpdated, v.final())
	require.NoError(t, next.end())
}

// What is recorded of another application, or cannot be read, is unsure: containers that run know better.
func TestImagesOfAnotherApplication(t *testing.T) {
	for name, c := range map[string]struct {
		lay    func(d *device)
		unsure bool
	}{
		"missing": {func(*device) {}, true},
		"damaged": {func(d *device) { d.write(filepath.Join(d.opts.Workdir, engine.ImagesFile), "{half") }, true},
		"of another application": {func(d *device) {
			require.NoError(d.t, d.files.record(d.log).Save(engine.Images{App: digest([]byte(after))}))
		}, true},
		"its own": {func(d *device) {
			require.NoError(d.t, d.files.record(d.log).Save(engine.Images{App: digest([]byte(before))}))
		}, false},
		"committed, and not in its place yet": {func(d *device) {
			require.NoError(d.t, d.files.record(d.log).Save(engine.Images{App: digest([]byte(after))}))
			require.NoError(d.t, d.files.staged(d.log).Save(engine.Images{App: digest([]byte(before))}))
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDevice(t)
			c.lay(d)
			e := newImager(nil)
			u := newProcessWith(e, e.Fake, d.opts).Updater
			require.NoError(t, u.start(t.Context()))
			require.Equal(t, c.unsure, e.Images().Unsure)
			require.NoFileExists(t, filepath.Join(d.opts.Workdir, stagedFile))
		})
	}
}

// Images of the application before are remembered, so that they are not pruned.
func TestPreviousImages(t *testing.T) {
	v := newVictim(t, faultfs.New(t, faultfs.Fault{}))
	e := newImager(map[string]string{"i": "i1", "new": "n1"})
	p := v.bootWith(file.OS, e)
	p.idle()
	e.Use(engine.Images{Running: map[string]engine.Image{"i": {ID: "i1"}, "old": {ID: "o1"}}}, false)
	require.NoError(t, p.Request(masterapi.UpdateRequest{Trace: "t", Path: "var/db/baetyl/next"}, masterapi.By{}))
	p.idle()
	got, err := p.files.record(p.log).Load()
	require.NoError(t, err)
	require.Equal(t, "o1", got.Previous["old"].ID)
	require.Equal(t, map[string]engine.Image{"i": {ID: "i1"}, "new": {ID: "n1"}}, got.Running)
	require.NoError(t, p.end())
	_, err = os.Stat(filepath.Join(v.dir, stagedFile))
	require.ErrorIs(t, err, os.ErrNotExist)
}
