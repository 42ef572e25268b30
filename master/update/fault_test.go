package update

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/faultfs"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/file"
)

// Whatever operation of an application's update fails, and however: the old or the new application runs afterwards,
// whole, the log says which, in one final line, and the next start finds nothing to do.
func TestUpdateOnAFaultyDisk(t *testing.T) {
	faultfs.Each(t, faults(), func(t *testing.T, disk *faultfs.FS) {
		d := deviceIn(t, disk.Dir())
		d.write(filepath.Join(disk.Dir(), "var/db/baetyl/next/application.yml"), after)
		d.opts.Disk = disk.Disk()
		disk.Start()
		u := d.updater()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- u.Run(ctx) }()
		u.free <- <-u.free // it has started
		err := u.Request(masterapi.UpdateRequest{Path: "var/db/baetyl/next", Trace: "t"})
		if err == nil {
			<-u.free // the update has ended
		}
		cancel()
		require.NoError(t, <-done)
		disk.Reboot()

		d.opts.Disk = file.OS
		accepted := err == nil
		version, _ := d.start()
		steps := d.steps()
		require.Equal(t, Idle, d.state())
		require.Equal(t, "version: "+version+"\n", d.read(d.files.app()))
		if accepted {
			require.Len(t, finals(steps), 1)
		}
		if len(steps) > 0 {
			require.True(t, masterapi.Final(steps[len(steps)-1]), steps)
			require.Equal(t, version == "after", steps[len(steps)-1] == masterapi.StepUpdated)
		} else {
			require.Equal(t, "before", version)
		}
		if disk.Fault().Kind == faultfs.None {
			require.Equal(t, "after", version)
		}
	})
}

// Whatever operation of a restart fails, and however, in each state: the next start comes to the same end.
func TestRestartOnAFaultyDisk(t *testing.T) {
	for state, c := range lying {
		t.Run(string(state), func(t *testing.T) {
			t.Parallel() // each waits for the disk most of the time
			faultfs.Each(t, faults(), func(t *testing.T, disk *faultfs.FS) {
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
						AppSwapped: {masterapi.StepUpdated}, AppUndoing: {masterapi.StepFailure}, StrayBackup: {""},
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

// faults are the ways to fail: the few that find most, and at every other operation only; with UPDATE_FAULTS all, at
// each.
func faults() faultfs.Options {
	if os.Getenv("UPDATE_FAULTS") != "" {
		return faultfs.Options{Kinds: faultfs.All}
	}
	return faultfs.Options{Kinds: faultfs.Few, Every: 2}
}
