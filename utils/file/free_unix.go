//go:build unix

package file

import "golang.org/x/sys/unix"

// Free returns the bytes that an ordinary user may still write on the file system of dir. On systems other than Unix it
// returns errors.ErrUnsupported.
func Free(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return uint64(st.Bavail) * uint64(st.Bsize), nil //nolint:unconvert // their types differ from system to system
}
