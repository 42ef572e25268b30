package volume

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"github.com/baetyl/baetyl/protocol/app"
)

// adopt adds dir to the record if dir has all files that were unpacked into stagedNew; it may have more. It does not
// change dir, and returns ErrForeign if a file is missing or differs.
func (s *Store) adopt(dir string, m app.VolumeMeta) error {
	if err := s.contains(dir, stagedNew); err != nil {
		_ = s.root.RemoveAll(stage)
		return err
	}
	if err := s.root.SyncTree(dir); err != nil { // its writer may not have done that
		return err
	}
	if err := s.syncAbove(dir); err != nil {
		return err
	}
	if err := s.note(func(r *record) { r.Volumes[dir] = newEntry(m) }); err != nil {
		return err
	}
	return s.root.RemoveAll(stage)
}

// contains returns ErrForeign with the first file of the folder staged that dir lacks or has with other content.
func (s *Store) contains(dir, staged string) error {
	entries, err := s.root.ReadDir(staged)
	if err != nil {
		return err
	}
	for _, e := range entries {
		inDir, inStaged := path.Join(dir, e.Name()), path.Join(staged, e.Name())
		if e.IsDir() {
			if err := s.contains(inDir, inStaged); err != nil {
				return err
			}
			continue
		}
		equal, err := s.same(inDir, inStaged)
		if err != nil || !equal {
			return fmt.Errorf("%w: %s differs", ErrForeign, inDir)
		}
	}
	return nil
}

// same tells whether two files have the same content.
func (s *Store) same(a, b string) (bool, error) {
	fa, err := s.root.OpenFile(a, os.O_RDONLY, 0)
	if err != nil {
		return false, err
	}
	defer fa.Close()
	fb, err := s.root.OpenFile(b, os.O_RDONLY, 0)
	if err != nil {
		return false, err
	}
	defer fb.Close()
	bufA, bufB := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		na, errA := io.ReadFull(fa, bufA)
		nb, errB := io.ReadFull(fb, bufB)
		if !bytes.Equal(bufA[:na], bufB[:nb]) {
			return false, nil
		}
		if errA != nil || errB != nil {
			return ended(errA) && ended(errB), nil
		}
	}
}

func ended(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }
