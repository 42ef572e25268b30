//go:build unix

package file

import "golang.org/x/sys/unix"

// Free returns the bytes that an ordinary user may still write on the file system of dir. On systems other than Unix it
// returns errors.ErrUnsupported.
func Free(dir string) (uint64, error) {
	free, _, err := Space(dir)
	return free, err
}

// Space returns the bytes that an ordinary user may still write on the file system of dir, and how many that has. On
// systems other than Unix it returns errors.ErrUnsupported.
func Space(dir string) (free, size uint64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, err
	}
	block := uint64(st.Bsize)
	return uint64(st.Bavail) * block, st.Blocks * block, nil //nolint:unconvert // its type differs from system to system
}
