// Package file writes files that survive power loss and unpacks archives that cannot leave their folder.
package file

import (
	"archive/zip"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// WriteAtomic replaces the file at path by data, so that a reader or a power loss finds the old content or the new one, never a
// mix: temporary file in the same folder, fsync, rename, fsync of the folder. perm is the mode of the new file.
func WriteAtomic(path string, data []byte, perm fs.FileMode) (err error) {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			tmp.Close()
			os.Remove(tmp.Name())
		}
	}()
	if _, err = tmp.Write(data); err != nil {
		return err
	}
	if err = tmp.Chmod(perm); err != nil {
		return err
	}
	if err = tmp.Sync(); err != nil {
		return err
	}
	if err = tmp.Close(); err != nil {
		return err
	}
	if err = os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	return SyncDir(dir)
}

// Tidy removes what WriteAtomic has left beside path when the power failed or the process was killed. Nobody may write path
// meanwhile.
func Tidy(path string) error {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	for _, e := range entries {
		random, ok := strings.CutPrefix(e.Name(), "."+filepath.Base(path)+".")
		if ok && e.Type().IsRegular() && strings.Trim(random, "0123456789") == "" {
			if err := os.Remove(filepath.Join(filepath.Dir(path), e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// SyncDir makes the entries of a folder durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// Exists tells whether path is there and is not a folder.
func Exists(path string) bool {
	st, err := os.Stat(path)
	return err == nil && !st.IsDir()
}

// MD5 returns the digest of a file as the 2019 cloud writes it: standard base64 of the 16 bytes.
func MD5(path string) (string, error) {
	sum, err := digest(path, md5.New())
	return base64.StdEncoding.EncodeToString(sum), err
}

// SHA256 returns the digest of a file in hex.
func SHA256(path string) (string, error) {
	sum, err := digest(path, sha256.New())
	return hex.EncodeToString(sum), err
}

func digest(path string, h hash.Hash) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := io.Copy(h, f); err != nil {
		return nil, err
	}
	return h.Sum(nil), nil
}

// Limits cap what an archive may unpack to.
type Limits struct {
	Bytes int64 // of all files together, unpacked
	Files int   // entries
}

// ErrLimit is returned for an archive that is larger than its Limits.
var ErrLimit = errors.New("archive exceeds its limit")

// Unzip unpacks the archive into dir, which is created. Entries that would leave dir, links and devices are errors; of the mode
// only the permission bits are kept. What was written before an error stays: unpack into a new folder and rename it.
func Unzip(archive, dir string, limits Limits) error {
	z, err := zip.OpenReader(archive)
	if err != nil {
		return fmt.Errorf("open archive %s: %w", archive, err)
	}
	defer z.Close()
	if len(z.File) > limits.Files {
		return fmt.Errorf("%w: %d entries, allowed %d", ErrLimit, len(z.File), limits.Files)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir) // the kernel-checked boundary: no entry gets out of it
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

func unzipOne(root *os.Root, f *zip.File, left int64) (int64, error) {
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
