//go:build unix

package folder

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/baetyl/baetyl/protocol/app"
)

// outside refuses a path that means a file of the host: it begins with a slash, a socket, a device or another file is
// there, and the working directory has nothing under that path. An empty folder would be made instead, and the service
// would run without what it needs. empty tells whether an empty folder counts as nothing.
func outside(workdir, path string, empty bool) error {
	clean, err := app.CleanPath(path)
	if err != nil || !strings.HasPrefix(path, "/") || clean == "." {
		return err
	}
	host := "/" + clean
	info, err := os.Stat(host)
	if err != nil || info.IsDir() {
		return nil
	}
	here := filepath.Join(workdir, clean)
	if _, err := os.Lstat(here); !errors.Is(err, fs.ErrNotExist) && !(empty && isEmpty(here)) {
		return nil
	}
	what, remedy := kindOf(info.Mode())
	const text = "%s is a %s of the host; a volume lies below the working directory, %s, and no empty folder is made in " +
		"its place: %s"
	return fmt.Errorf(text, host, what, workdir, fmt.Sprintf(remedy, host))
}

// kindOf says what a file is that is no folder, and what to do to have it in a service; the remedy has a place for its
// path.
func kindOf(mode fs.FileMode) (what, remedy string) {
	switch {
	case mode&fs.ModeDevice != 0:
		return "device", "leave the mount out, and write %s in devices of the service"
	case mode&fs.ModeSocket != 0:
		return "socket", "let the program that serves %s listen in a folder below var/db/baetyl too, and mount that"
	case mode&fs.ModeNamedPipe != 0:
		return "pipe", "let the program that made %s make one in a folder below var/db/baetyl, and mount that"
	}
	return "file", "copy %s to a place below var/db/baetyl, and write that path"
}

// isEmpty tells whether path is a folder without entries.
func isEmpty(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || !info.IsDir() {
		return false
	}
	dir, err := os.Open(path)
	if err != nil {
		return false
	}
	defer dir.Close()
	_, err = dir.Readdirnames(1)
	return errors.Is(err, io.EOF)
}
