package volume

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"github.com/baetyl/baetyl/protocol/app"
)

// adopt takes dir into the record if it has everything that was unpacked into stagedNew; it may have more. dir stays as it is.
func (s *Store) adopt(dir string, m app.VolumeMeta) error {
	staged, err := s.root.OpenRoot(stagedNew)
	if err != nil {
		return err
	}
	defer staged.Close()
	err = fs.WalkDir(staged.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		equal, err := same(staged, name, s.root, path.Join(dir, name))
		if err != nil || !equal {
			return fmt.Errorf("%w: %s differs", ErrForeign, name)
		}
		return nil
	})
	if err != nil {
		_ = s.root.RemoveAll(stage)
		return err
	}
	s.record.Volumes[dir] = newEntry(m)
	if err := s.save(); err != nil {
		return err
	}
	return s.root.RemoveAll(stage)
}

// same tells whether two files have the same content.
func same(a *os.Root, nameA string, b *os.Root, nameB string) (bool, error) {
	fa, err := a.Open(nameA)
	if err != nil {
		return false, err
	}
	defer fa.Close()
	fb, err := b.Open(nameB)
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
