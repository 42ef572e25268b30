package logfile

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// RotatedAt is when a file of Backups was rotated, in milliseconds, UTC; the zero time for other names.
func RotatedAt(backup string) time.Time {
	name := strings.TrimSuffix(backup, gzipped)
	name = strings.TrimSuffix(name, filepath.Ext(name))
	// the seconds have a fraction, so what Ext took may have been that
	for _, n := range []string{name, strings.TrimSuffix(backup, gzipped)} {
		if len(n) < len(backupStamp) {
			continue
		}
		if at, err := time.Parse(backupStamp, n[len(n)-len(backupStamp):]); err == nil {
			return at
		}
	}
	return time.Time{}
}

// OpenOld opens a file of Backups, which may have been compressed meanwhile, and returns what it says. A link there is
// not followed, and nothing but a file is opened.
func OpenOld(backup string) (io.ReadCloser, error) {
	f, err := OpenToRead(backup)
	if errors.Is(err, fs.ErrNotExist) && !strings.HasSuffix(backup, gzipped) {
		backup += gzipped
		f, err = OpenToRead(backup)
	}
	if err != nil || !strings.HasSuffix(backup, gzipped) {
		return f, err
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("read %s: %w", backup, err)
	}
	return unzipped{z, f}, nil
}

type unzipped struct {
	*gzip.Reader
	file *os.File
}

// Close closes the file.
func (u unzipped) Close() error { return u.file.Close() }

// OpenToRead opens a log file. A link at the path is not followed, and what is no file is an error: it does not wait
// for a pipe.
func OpenToRead(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|noFollow|noWait, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a file", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}
