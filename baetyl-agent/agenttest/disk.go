package agenttest

import (
	"io/fs"

	"github.com/baetyl/baetyl/utils/file"
)

// Disk is file.OS without its fsyncs, for the process after a power cut: a test of all faults starts a thousand of
// them.
func Disk() file.Disk { return file.Disk{FS: hasty{file.OS}} }

type hasty struct{ file.FS }

func (h hasty) OpenFile(name string, flag int, perm fs.FileMode) (file.File, error) {
	f, err := h.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return hastyFile{f}, nil
}

func (h hasty) Root(dir string) (file.Root, error) {
	r, err := h.FS.Root(dir)
	if err != nil {
		return nil, err
	}
	return hastyRoot{hasty{r}, r}, nil
}

type hastyFile struct{ file.File }

func (hastyFile) Sync() error { return nil }

type hastyRoot struct {
	hasty
	root file.Root
}

func (r hastyRoot) Close() error { return r.root.Close() }
