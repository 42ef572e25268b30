package update

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/ota"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/file"
)

// An update whose final line is written has ended as that says, whatever else the disk says: a new master that was
// killed between that line and the removal of the record, and was replaced by hand afterwards, has not been rolled
// back.
func TestFinalLineIsTheLastWord(t *testing.T) {
	d := newDevice(t)
	d.begin(masterapi.UpdateMaster, func(u *ota.Update) { u.Starts = 1 })
	d.write(d.opts.Program, after)
	d.final(masterapi.StepUpdated, nil)
	d.write(d.opts.Program, "another one\n")
	_, failure := d.start()
	require.Empty(t, failure)
	require.Equal(t, []string{"UPDATING", "UPDATED"}, d.steps())
	require.Equal(t, Idle, d.state())
}

// A candidate that was rejected is not tried again when its record and its file could not be removed. Otherwise it
// would be committed, though the log says that it was rolled back.
func TestCandidateOfAnEndedUpdateIsNotTried(t *testing.T) {
	for _, final := range []string{masterapi.StepRolledBack, masterapi.StepFailure} {
		d := newDevice(t)
		d.beginMaster(func(u *ota.Update) { u.Starts = 1 })
		d.final(final, errors.New("boom"))
		require.Equal(t, StrayCandidate, d.state())
		d.opts.Keeper = &fakeKeeper{}
		require.False(t, d.updater().resume(t.Context()))
		_, failure := d.start()
		require.Equal(t, "boom", failure)
		require.Equal(t, before, d.read(d.opts.Program))
		require.Equal(t, []string{"UPDATING", final}, d.steps())
		require.Equal(t, Idle, d.state())
	}
}

// An update begins in the log before it replaces the record. A master that is killed in between leaves the record of
// the update before, and that is not the one that has failed.
func TestRecordOfTheUpdateBefore(t *testing.T) {
	d := newDevice(t)
	d.begin(masterapi.UpdateApp, nil)
	record := d.read(filepath.Join(d.opts.Workdir, recordFile))
	require.NoError(t, d.records.Begin(ota.Update{Type: masterapi.UpdateMaster, Trace: "next", SHA256: "x"}))
	d.write(filepath.Join(d.opts.Workdir, recordFile), record)
	require.Equal(t, Ended, d.state())
	_, failure := d.start()
	require.Contains(t, failure, "update of type MST")
	require.Equal(t, []string{"UPDATING", "ROLLEDBACK"}, d.steps())
	require.Equal(t, Idle, d.state())
}

// A candidate that has been put in place is the master, and writes UPDATED even if the record was damaged meanwhile.
func TestCandidateThatIsCommitted(t *testing.T) {
	for name, damage := range map[string]bool{"whole record": false, "damaged record": true} {
		t.Run(name, func(t *testing.T) {
			d := newDevice(t)
			d.beginMaster(func(u *ota.Update) { u.Starts = maxStarts })
			d.opts.Ready = func(context.Context) error {
				require.FileExists(t, d.program.Candidate(), "it does not remove itself")
				return os.Rename(d.program.Candidate(), d.program.Path) // as the keeper does
			}
			if damage {
				d.write(filepath.Join(d.opts.Workdir, recordFile), "{half")
			}
			_, failure := d.start()
			require.Empty(t, failure)
			require.Equal(t, after, d.read(d.opts.Program))
			require.Equal(t, []string{"UPDATING", "UPDATED"}, d.steps())
			require.Equal(t, Idle, d.state())
		})
	}
}

// When the record cannot be read, nothing is decided: the application that is known to work runs, and the next start
// reads again.
func TestUnreadableRecord(t *testing.T) {
	d := newDevice(t)
	d.beginMaster(nil)
	d.write(d.files.backup(), before)
	d.write(d.files.app(), after)
	record := filepath.Join(d.opts.Workdir, recordFile)
	d.opts.Disk = file.Disk{FS: unreadable{file.OS, record}}
	d.disk = newDisk(d.opts, nil)
	_, state, err := d.readState()
	require.Error(t, err)
	require.Equal(t, StrayBackup, state)

	version, failure := d.start()
	require.Equal(t, "before", version)
	require.Empty(t, failure)
	_, state, err = d.readState()
	require.Error(t, err)
	require.Equal(t, Unreadable, state)
	require.FileExists(t, d.program.Candidate())
	require.Equal(t, []string{"UPDATING"}, d.steps())

	d.opts.Disk = file.OS
	d.disk = newDisk(d.opts, nil)
	require.Equal(t, MasterAccepted, d.state())
}

// unreadable is a disk that does not read one of its files.
type unreadable struct {
	file.FS
	path string
}

func (u unreadable) OpenFile(name string, flag int, perm os.FileMode) (file.File, error) {
	if name == u.path {
		return nil, syscall.EIO
	}
	return u.FS.OpenFile(name, flag, perm)
}
