package update

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
)

// Reasons why the master may be in the middle of an update.
var (
	errRunning = errors.New("an update runs")
	errUnknown = errors.New("the master's log of updates does not say whether one runs")
)

// otaLog is the master's log of updates, which the master alone writes; it starts an empty one for each update.
type otaLog struct {
	disk file.Disk
	path string
	log  log.Logger
}

func (u *Updater) otaLog() otaLog { return otaLog{u.Disk.Or(), u.LogPath, u.Log} }

// of returns the records of trace. A missing log has none, a damaged one those before the damage. An error is one of
// reading the file.
func (o otaLog) of(trace string) ([]masterapi.OTARecord, error) {
	all, err := o.read()
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist):
	case errors.As(err, new(*fs.PathError)):
		return nil, err
	default:
		o.log.WithError(err).Debugf("the master's log of updates is damaged; the records before the damage count")
	}
	return slices.DeleteFunc(all, func(r masterapi.OTARecord) bool { return r.Trace != trace }), nil
}

// idle returns nil if the master carries out no update, of the agent or of another client. Otherwise it returns
// errRunning, or errUnknown if the log can't be read, is damaged, or has no whole record.
func (o otaLog) idle() error {
	all, err := o.read()
	switch {
	case errors.Is(err, fs.ErrNotExist): // there has been no update
		return nil
	case err != nil:
		return fmt.Errorf("%w: %w", errUnknown, err)
	case len(all) == 0: // the master is writing the first record
		return errUnknown
	case !masterapi.Final(all[len(all)-1].Step):
		return errRunning
	}
	return nil
}

func (o otaLog) read() ([]masterapi.OTARecord, error) {
	f, err := o.disk.OpenFile(o.path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return masterapi.ReadOTALog(f)
}
