package file

import (
	"archive/zip"
	"io/fs"
	"math"
	"os"
	"path/filepath"
)

// SyncTree makes all files and folders at and below dir durable. Links are not followed.
func SyncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() && !d.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return f.Sync()
	})
}

// Unpacked returns how many bytes the archive says that it unpacks to. It is a claim; Unzip counts.
func Unpacked(archive string) (uint64, error) {
	z, err := zip.OpenReader(archive)
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
