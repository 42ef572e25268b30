// Package file writes files that survive a power loss, and unpacks archives into a folder that no entry can leave. It
// works on the disk of this machine, or on one of a test that returns errors (internal/faultfs).
package file

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// WriteAtomic is Disk.WriteAtomic of OS.
func WriteAtomic(path string, data []byte, perm fs.FileMode) error {
	return OS.WriteAtomic(path, data, perm)
}

// WriteAtomic replaces the file at path by data, so that a reader or a power loss finds the old content or the new
// one, never a mix: temporary file in the same folder, fsync, rename, fsync of the folder. perm is the mode of the new
// file. After an error the file has the old content, or the new one if only the last fsync failed.
func (d Disk) WriteAtomic(path string, data []byte, perm fs.FileMode) error {
	return d.WriteAs(path, data, perm, Owner{-1, -1})
}

// Owner is whom a file belongs to; -1: whoever creates it.
type Owner struct{ UID, GID int }

// WriteAs is Disk.WriteAs of OS.
func WriteAs(path string, data []byte, perm fs.FileMode, owner Owner) error {
	return OS.WriteAs(path, data, perm, owner)
}

// WriteAs is WriteAtomic of a file that belongs to owner. Where this process may not give files away the new one
// belongs to itself.
func (d Disk) WriteAs(path string, data []byte, perm fs.FileMode, owner Owner) (err error) {
	tmp, name, err := d.createTemp(path)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = tmp.Close()
			_ = d.Remove(name)
		}
	}()
	if _, err = tmp.Write(data); err != nil {
		return err
	}
	if owner != (Owner{-1, -1}) {
		if err = tmp.Chown(owner.UID, owner.GID); err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
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
	if err = d.Rename(name, path); err != nil {
		return err
	}
	return d.SyncDir(filepath.Dir(path))
}

// createTemp creates the file that is going to be path, with a name that Tidy knows.
func (d Disk) createTemp(path string) (f File, name string, err error) {
	prefix := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".")
	for tries := 0; ; tries++ {
		name = prefix + strconv.FormatUint(uint64(rand.Uint32()), 10)
		f, err = d.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if !errors.Is(err, fs.ErrExist) || tries == 1000 {
			return f, name, err
		}
	}
}

// Tidy is Disk.Tidy of OS.
func Tidy(path string) error { return OS.Tidy(path) }

// Tidy removes the temporary files that WriteAtomic has left beside path when the power failed or the process was
// killed. No WriteAtomic of path may run meanwhile.
func (d Disk) Tidy(path string) error {
	entries, err := d.ReadDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	for _, e := range entries {
		random, ok := strings.CutPrefix(e.Name(), "."+filepath.Base(path)+".")
		if ok && e.Type().IsRegular() && strings.Trim(random, "0123456789") == "" {
			if err := d.Remove(filepath.Join(filepath.Dir(path), e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// ReadFile returns the content of the file at path. Use ReadHead for a file that may be too large to hold in memory.
func (d Disk) ReadFile(path string) ([]byte, error) { return d.ReadHead(path, -1) }

// ReadHead returns the first bytes of the file at path, at most limit; all of it if limit is negative.
func (d Disk) ReadHead(path string, limit int64) ([]byte, error) {
	f, err := d.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if limit < 0 {
		return io.ReadAll(f)
	}
	return io.ReadAll(io.LimitReader(f, limit))
}

// Exists tells whether path is there and is not a folder.
func Exists(path string) bool {
	st, err := os.Stat(path)
	return err == nil && !st.IsDir()
}

// MD5 is Disk.MD5 of OS.
func MD5(path string) (string, error) { return OS.MD5(path) }

// MD5 returns the digest of a file as the 2019 cloud writes it: standard base64 of the 16 bytes.
func (d Disk) MD5(path string) (string, error) {
	sum, err := d.digest(path, md5.New())
	return base64.StdEncoding.EncodeToString(sum), err
}

// SHA256 returns the digest of a file in hex.
func (d Disk) SHA256(path string) (string, error) {
	sum, err := d.digest(path, sha256.New())
	return hex.EncodeToString(sum), err
}

func (d Disk) digest(path string, h hash.Hash) ([]byte, error) {
	f, err := d.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if _, err := io.Copy(h, f); err != nil {
		return nil, err
	}
	return h.Sum(nil), nil
}
