//go:build !linux

package journal

import "os"

// datasync writes the data of f to stable storage.
func datasync(f *os.File) error { return f.Sync() }
