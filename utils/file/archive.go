package file

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
)

// Limits cap what an archive may unpack to.
type Limits struct {
	Bytes int64 // of all files together, unpacked
	Files int   // files, links and folders
}

// ErrLimit is returned for an archive that is larger than its Limits.
var ErrLimit = errors.New("archive exceeds its limit")

// Unzip is Disk.Unzip of OS.
func Unzip(archive, dir string, limits Limits) error { return OS.Unzip(archive, dir, limits) }

// Unzip unpacks the archive into dir, which is created, or empty. What an entry may be says entry; a tree that would
// not be what its maker packed is an error, and nothing is written. What was written before another error stays: unpack
// into a new folder and rename it. Nothing is durable yet: SyncTree makes it so.
func (d Disk) Unzip(archive, dir string, limits Limits) error {
	z, err := d.openZip(archive)
	if err != nil {
		return fmt.Errorf("open archive %s: %w", archive, err)
	}
	defer z.Close()
	if len(z.File) > limits.Files {
		return fmt.Errorf("%w: %d entries, allowed %d", ErrLimit, len(z.File), limits.Files)
	}
	t, err := readTree(z.File, limits.Files)
	if err != nil {
		return fmt.Errorf("archive %s: %w", archive, err)
	}
	if err := d.MkdirAll(dir, dirMode); err != nil {
		return err
	}
	root, err := d.Root(dir) // the kernel-checked boundary: no entry gets out of it
	if err != nil {
		return err
	}
	defer root.Close()
	left := limits.Bytes
	for _, name := range t.names() {
		n, err := t[name].write(root, name, left)
		if errors.Is(err, fs.ErrExist) {
			err = errors.New("this name is there, or one that this disk takes for the same (letter case, accents)")
		}
		if err != nil {
			return fmt.Errorf("unpack %q: %w", name, err)
		}
		left -= n
	}
	return nil
}

// dirMode is that of each folder, whatever the archive says: services of other users read what is in it.
const dirMode = 0o755

// write makes the entry, and returns how many bytes of content it has.
func (e entry) write(root Root, name string, left int64) (int64, error) {
	switch {
	case e.mode.IsDir():
		if err := root.Mkdir(name, dirMode); err != nil {
			return 0, err
		}
		return 0, chmod(root, name, os.O_RDONLY, dirMode)
	case e.target != "":
		return 0, root.Symlink(e.target, name)
	}
	in, err := e.file.Open()
	if err != nil {
		return 0, err
	}
	defer in.Close()
	out, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	defer out.Close()
	// The sizes in the archive's headers are claims; what counts is what comes out.
	n, err := io.Copy(out, io.LimitReader(in, left+1))
	if err == nil && n > left {
		err = ErrLimit
	}
	if err == nil {
		err = out.Chmod(e.mode.Perm()) // the mask of this process is not the archive's business
	}
	if err != nil {
		return n, err
	}
	return n, out.Close()
}

func chmod(root Root, name string, flag int, mode fs.FileMode) error {
	f, err := root.OpenFile(name, flag, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Chmod(mode), f.Close())
}

// Unpacked is Disk.Unpacked of OS.
func Unpacked(archive string) (uint64, error) { return OS.Unpacked(archive) }

// Unpacked returns how many bytes the archive says that it unpacks to. It is a claim; Unzip counts.
func (d Disk) Unpacked(archive string) (uint64, error) {
	z, err := d.openZip(archive)
	if err != nil {
		return 0, err
	}
	defer z.Close()
	var sum uint64
	for _, f := range z.File {
		if f.UncompressedSize64 > math.MaxUint64-sum {
			return math.MaxUint64, nil
		}
		sum += f.UncompressedSize64
	}
	return sum, nil
}

// zipFile is an archive and the file that it is read from.
type zipFile struct {
	*zip.Reader
	io.Closer
}

func (d Disk) openZip(archive string) (zipFile, error) {
	f, err := d.OpenFile(archive, os.O_RDONLY, 0)
	if err != nil {
		return zipFile{}, err
	}
	var info fs.FileInfo
	if info, err = f.Stat(); err == nil {
		var z *zip.Reader
		if z, err = zip.NewReader(f, info.Size()); err == nil {
			return zipFile{z, f}, nil
		}
	}
	_ = f.Close()
	return zipFile{}, err
}
