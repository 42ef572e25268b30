package update

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/file"
)

// An update lets nobody read the application who could not before: environments hold secrets.
func TestModeAndOwnerOfTheApplication(t *testing.T) {
	is := func(path string, want os.FileMode) {
		t.Helper()
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, want, info.Mode().Perm(), path)
		if st := info.Sys().(*syscall.Stat_t); os.Geteuid() == 0 && want != 0o640 {
			require.Equal(t, []uint32{75001, 75002}, []uint32{st.Uid, st.Gid}, path)
		}
	}
	for _, mode := range []os.FileMode{0o600, 0o660, 0o644} {
		for _, content := range []string{"version: v1\n", "damaged: [\n"} {
			d := newDevice(t)
			f := files{d.opts.Workdir, file.OS}
			d.write(f.app(), content)
			require.NoError(t, os.Chmod(f.app(), mode))
			if os.Geteuid() == 0 {
				require.NoError(t, os.Chown(f.app(), 75001, 75002))
			}
			_, err := f.swap([]byte("version: v2\n"), []byte("version: v1\n"), nil)
			require.NoError(t, err)
			is(f.app(), mode)
			is(f.backup(), mode)
			if content != "version: v1\n" {
				is(f.app()+damaged, mode)
			}
			_, err = f.putBack()
			require.NoError(t, err)
			is(f.app(), mode)
		}
	}
	d := newDevice(t)
	f := files{d.opts.Workdir, file.OS}
	require.NoError(t, os.RemoveAll(f.app()))
	_, err := f.swap([]byte("version: v2\n"), nil, nil)
	require.NoError(t, err)
	is(f.app(), 0o640)
	is(f.backup(), 0o640)
}
