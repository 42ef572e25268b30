package agenttest

import (
	"io/fs"

	"github.com/baetyl/baetyl/utils/file"
)

// Disk is file.OS without fsync, for the process after a simulated power cut: a test of all faults starts a thousand
// of them.
func Disk() file.Disk { return file.Disk{FS: unsynced{file.OS}} }

type unsynced struct{ file.FS }

func (u unsynced) OpenFile(name string, flag int, perm fs.FileMode) (file.File, error) {
	f, err := u.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return unsyncedFile{f}, nil
}

func (u unsynced) Root(dir string) (file.Root, error) {
	r, err := u.FS.Root(dir)
	if err != nil {
		return nil, err
	}
	return unsyncedRoot{unsynced{r}, r}, nil
}

type unsyncedFile struct{ file.File }

func (unsyncedFile) Sync() error { return nil }

type unsyncedRoot struct {
	unsynced
	root file.Root
}

func (r unsyncedRoot) Close() error { return r.root.Close() }
