package update

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/ota"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/log"
)

// What is before and after an update, as application.yml and as the program alike.
const (
	before = "version: before\n"
	after  = "version: after\n"
	rubble = "services: 7\n"
)

// device is a working directory of an updater.
type device struct {
	t    *testing.T
	opts Options
	disk
}

func newDevice(t *testing.T) *device { return deviceIn(t, t.TempDir()) }

func deviceIn(t *testing.T, dir string) *device {
	opts := Options{
		Workdir: dir, OTALog: filepath.Join(dir, masterapi.OTALog), Program: filepath.Join(dir, "baetyl"),
		Healthy: time.Millisecond, Deadline: time.Minute, Log: log.Discard(),
	}
	d := &device{t: t, opts: opts, disk: newDisk(opts, nil)}
	d.write(d.files.app(), before)
	d.write(opts.Program, before)
	return d
}

func (d *device) write(path, content string) {
	d.t.Helper()
	require.NoError(d.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(d.t, os.WriteFile(path, []byte(content), 0o755))
}

func (d *device) read(path string) string {
	d.t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(d.t, err)
	return string(data)
}

// begin writes the record and the log of an update, to which change adds.
func (d *device) begin(kind string, change func(u *ota.Update)) {
	d.t.Helper()
	sum := sha256.Sum256([]byte(after))
	u := ota.Update{Type: kind, Trace: "t", SHA256: hex.EncodeToString(sum[:])}
	require.NoError(d.t, d.records.Begin(u))
	if change != nil {
		change(&u)
		require.NoError(d.t, d.records.Save(u))
	}
}

func failed(u *ota.Update) { u.Failed = "boom" }

// final writes the final line of the log and leaves the record.
func (d *device) final(step string, cause error) {
	d.t.Helper()
	record := d.read(filepath.Join(d.opts.Workdir, recordFile))
	u, err := d.records.Pending()
	require.NoError(d.t, err)
	require.NoError(d.t, d.records.End(*u, step, "", cause))
	d.write(filepath.Join(d.opts.Workdir, recordFile), record)
}

// steps are those of the log.
func (d *device) steps() (out []string) {
	d.t.Helper()
	f, err := os.Open(d.opts.OTALog)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	require.NoError(d.t, err)
	defer f.Close()
	records, err := masterapi.ReadOTALog(f)
	require.NoError(d.t, err)
	for _, r := range records {
		out = append(out, r.Step)
	}
	return out
}

// updater returns an updater of a device whose engine starts nothing real.
func (d *device) updater() *Updater { return newProcess(d.opts).Updater }

// run runs an updater of the device.
func (d *device) run() *process {
	p := newProcess(d.opts)
	p.begin()
	return p
}

// start lets an updater start the application, and returns what inspect would show.
func (d *device) start() (version, failure string) {
	d.t.Helper()
	u := d.updater()
	require.NoError(d.t, u.start(d.t.Context()))
	c, _ := u.app.Current()
	return c.Version, u.app.Failure()
}

func (d *device) state() State {
	d.t.Helper()
	_, s, err := d.readState()
	require.NoError(d.t, err)
	return s
}

// lying lays the files of each state. This is the table of what can lie on disk, and what a start makes of it.
var lying = map[State]struct {
	lay     func(d *device)
	version string // of the application that runs
	program string
	failure string // that inspect shows
	step    string // that the log ends with; empty: there is no log
}{
	Idle: {func(*device) {}, "before", before, "", ""},
	StrayBackup: {func(d *device) {
		d.write(d.files.app(), after)
		d.write(d.files.backup(), before)
	}, "before", before, "", ""},
	DamagedBackup: {func(d *device) {
		d.begin(masterapi.UpdateApp, nil)
		d.write(d.files.app(), after)
		d.write(d.files.backup(), rubble)
	}, "after", before, "", "UPDATED"},
	StrayCandidate: {func(d *device) { d.write(d.program.Candidate(), after) }, "before", before, "", ""},
	Announced: {func(d *device) {
		d.begin(masterapi.UpdateApp, nil)
		require.NoError(d.t, d.records.Forget())
	}, "before", before, "the master ended before", "ROLLEDBACK"},
	AppAccepted: {func(d *device) { d.begin(masterapi.UpdateApp, nil) },
		"before", before, "the master ended before", "ROLLEDBACK"},
	AppSwapped: {func(d *device) {
		d.begin(masterapi.UpdateApp, nil)
		d.write(d.files.backup(), before)
		d.write(d.files.app(), after)
	}, "before", before, "the master ended before", "ROLLEDBACK"},
	AppCommitted: {func(d *device) {
		d.begin(masterapi.UpdateApp, nil)
		d.write(d.files.app(), after)
	}, "after", before, "", "UPDATED"},
	AppUndoing: {func(d *device) {
		d.begin(masterapi.UpdateApp, failed)
		d.write(d.files.backup(), before)
		d.write(d.files.app(), after)
	}, "before", before, "boom", "ROLLEDBACK"},
	AppUndone: {func(d *device) { d.begin(masterapi.UpdateApp, failed) }, "before", before, "boom", "ROLLEDBACK"},
	AppStuck: {func(d *device) {
		d.begin(masterapi.UpdateApp, failed)
		d.write(d.files.app(), after)
	}, "after", before, "boom", "UPDATED"},
	MasterAccepted: {func(d *device) { d.beginMaster(nil) }, "before", before, "has no keeper", "ROLLEDBACK"},
	MasterTried: {func(d *device) { d.beginMaster(func(u *ota.Update) { u.Starts = 1 }) },
		"before", before, "has no keeper", "ROLLEDBACK"},
	MasterExhausted: {func(d *device) { d.beginMaster(func(u *ota.Update) { u.Starts = maxStarts }) },
		"before", before, "started 3 times without becoming ready", "ROLLEDBACK"},
	MasterCommitted: {func(d *device) {
		d.begin(masterapi.UpdateMaster, func(u *ota.Update) { u.Starts = 1 })
		d.write(d.opts.Program, after)
	}, "before", after, "", "UPDATED"},
	MasterGivenUp: {func(d *device) { d.begin(masterapi.UpdateMaster, failed) }, "before", before, "boom", "ROLLEDBACK"},
	Ended: {func(d *device) {
		d.begin(masterapi.UpdateApp, failed)
		d.final(masterapi.StepRolledBack, errors.New("bang"))
	}, "before", before, "bang", "ROLLEDBACK"},
}

func (d *device) beginMaster(change func(u *ota.Update)) {
	d.begin(masterapi.UpdateMaster, change)
	d.write(d.program.Candidate(), after)
}

func TestRestarts(t *testing.T) {
	for state := range restarts {
		if state == Unreadable { // has its own test
			continue
		}
		t.Run(string(state), func(t *testing.T) {
			c, ok := lying[state]
			require.True(t, ok, "the test knows no files of this state")
			d := newDevice(t)
			c.lay(d)
			require.Equal(t, state, d.state())

			version, failure := d.start()
			require.Equal(t, c.version, version)
			require.Equal(t, c.program, d.read(d.opts.Program))
			require.Contains(t, failure, c.failure)
			require.Equal(t, c.failure == "", failure == "", failure)
			require.Equal(t, Idle, d.state(), "a start leaves nothing over")
			steps := d.steps()
			if c.step == "" {
				require.Empty(t, steps)
				return
			}
			require.Equal(t, c.step, steps[len(steps)-1])
			require.Len(t, slices.DeleteFunc(steps, func(s string) bool { return !masterapi.Final(s) }), 1)
		})
	}
}

// Each step of a restart leads where the table says.
func TestRestartsLeadOn(t *testing.T) {
	for state, r := range restarts {
		for _, next := range r.next {
			require.Contains(t, restarts, next, "%s leads to an unknown state", state)
		}
		if r.do == end || r.do == forget || r.do == nothing || r.do == restore || state == Unreadable {
			continue // these wait for the application, which TestRestarts starts
		}
		t.Run(string(state), func(t *testing.T) {
			d := newDevice(t)
			lying[state].lay(d)
			f, _, err := d.readState()
			require.NoError(t, err)
			require.NoError(t, d.act(r.do, f.update))
			require.Contains(t, r.next, d.state())
		})
	}
}
