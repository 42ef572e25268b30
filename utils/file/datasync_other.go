//go:build !linux

package file

// Datasync writes the data of f to stable storage.
func Datasync(f File) error { return f.Sync() }
