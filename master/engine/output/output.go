// Package output says where the output of instances goes, the same for every engine. utils/logfile writes it.
package output

import (
	"context"
	"path/filepath"
	"time"

	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/logfile"
)

// Dir is where the files are, relative to the master's working directory.
const Dir = "var/log/baetyl/services"

// diskTimeout is how long the disk has for the last lines.
const diskTimeout = time.Second

// File returns the path of a service's file, relative to the working directory.
func File(service string) string { return filepath.Join(Dir, service+".log") }

// Open returns the file of a service's output in the working directory dir, with the limits of c. What is in it stays.
// A link there is not followed. to is told once when the file cannot be written, and when it can be again.
func Open(dir, service string, c log.Config, to log.Logger) *logfile.File {
	limits := log.Limits(c)
	limits.NoLink = true
	limits.Report = func(err error) {
		if err != nil {
			to.WithError(err).Errorf("output of the service cannot be written; what is more than the buffer takes is dropped")
			return
		}
		to.Infof("output of the service is written again")
	}
	return logfile.New(filepath.Join(dir, File(service)), limits)
}

// Close writes what is left and closes the file. A disk that takes it no more within a second is given up.
func Close(f *logfile.File) error {
	ctx, cancel := context.WithTimeout(context.Background(), diskTimeout)
	defer cancel()
	return f.Close(ctx)
}

// Settle waits until what an instance wrote is in the file, before its end is told. It does not wait for a disk that is
// in trouble.
func Settle(f *logfile.File) {
	if f.Trouble() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), diskTimeout)
	defer cancel()
	_ = f.Flush(ctx) // the lines come later; the master has been told
}
