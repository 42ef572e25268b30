package file

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
)

// Limits cap what an archive may unpack to.
type Limits struct {
	Bytes int64 // of all files together, unpacked
	Files int   // entries
}

// ErrLimit is returned for an archive that is larger than its Limits.
var ErrLimit = errors.New("archive exceeds its limit")

// Unzip is Disk.Unzip of OS.
func Unzip(archive, dir string, limits Limits) error { return OS.Unzip(archive, dir, limits) }

// Unzip unpacks the archive into dir, which is created. Entries that would leave dir, links and devices are errors; of the mode
// only the permission bits are kept. What was written before an error stays: unpack into a new folder and rename it. Nothing is
// durable yet: SyncTree makes it so.
func (d Disk) Unzip(archive, dir string, limits Limits) error {
	z, err := d.openZip(archive)
	if err != nil {
		return fmt.Errorf("open archive %s: %w", archive, err)
	}
	defer z.Close()
	if len(z.File) > limits.Files {
		return fmt.Errorf("%w: %d entries, allowed %d", ErrLimit, len(z.File), limits.Files)
	}
	if err := d.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := d.Root(dir) // the kernel-checked boundary: no entry gets out of it
	if err != nil {
		return err
	}
	defer root.Close()
	left := limits.Bytes
	for _, f := range z.File {
		n, err := unzipOne(root, f, left)
		if err != nil {
			return fmt.Errorf("unpack %q: %w", f.Name, err)
		}
		left -= n
	}
	return nil
}

func unzipOne(root Root, f *zip.File, left int64) (int64, error) {
	name := filepath.FromSlash(f.Name)
	if !filepath.IsLocal(name) {
		return 0, errors.New("name leaves the folder")
	}
	mode := f.Mode()
	if mode.IsDir() {
		return 0, root.MkdirAll(name, 0o755)
	}
	if !mode.IsRegular() {
		return 0, fmt.Errorf("is neither a file nor a folder (%s)", mode)
	}
	if dir := filepath.Dir(name); dir != "." {
		if err := root.MkdirAll(dir, 0o755); err != nil {
			return 0, err
		}
	}
	in, err := f.Open()
	if err != nil {
		return 0, err
	}
	defer in.Close()
	out, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode.Perm())
	if err != nil {
		return 0, err
	}
	defer out.Close()
	// The sizes in the archive's headers are claims; what counts is what comes out.
	n, err := io.Copy(out, io.LimitReader(in, left+1))
	if err == nil && n > left {
		err = ErrLimit
	}
	if err != nil {
		return n, err
	}
	return n, out.Close()
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
