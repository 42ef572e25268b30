package hub

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMachineMemory(t *testing.T) {
	const info = "MemTotal:        1000000 kB\nMemFree: 5 kB\n"
	const v2, v1 = "sys/fs/cgroup", "sys/fs/cgroup/memory"
	for name, x := range map[string]struct {
		meminfo, cgroup string
		limits          map[string]string // by file
		want            int64
	}{
		"nothing is known":    {"", "", nil, 0},
		"no control groups":   {info, "", nil, 1000000 << 10},
		"version 2, no limit": {info, "0::/a/b\n", map[string]string{v2 + "/a/b/memory.max": "max\n"}, 1000000 << 10},
		"version 2":           {info, "0::/a/b\n", map[string]string{v2 + "/a/b/memory.max": "5000\n"}, 5000},
		"a group above": {info, "0::/a/b\n", map[string]string{
			v2 + "/a/memory.max": "4000\n", v2 + "/a/b/memory.max": "5000\n",
		}, 4000},
		"in a container": {"", "0::/../x\n", map[string]string{v2 + "/memory.max": "7000\n"}, 7000},
		"version 1": {info, "9:cpu,memory:/d\n8:pids:/e\n", map[string]string{
			v1 + "/d/memory.limit_in_bytes": "6000\n",
		}, 6000},
		"version 1, no limit": {info, "9:memory:/d\n", map[string]string{
			v1 + "/memory.limit_in_bytes": "9223372036854771712\n",
		}, 1000000 << 10},
		"both versions": {info, "4:memory:/d\n0::/\n", map[string]string{
			v1 + "/d/memory.limit_in_bytes": "6000\n",
		}, 6000},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			files := map[string]string{"proc/meminfo": x.meminfo, "proc/self/cgroup": x.cgroup}
			maps.Copy(files, x.limits)
			for file, text := range files {
				path := filepath.Join(root, file)
				require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
				require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
			}
			require.Equal(t, x.want, machineMemory(root))
		})
	}
	require.Positive(t, machineMemory("/"))
}

func FuzzMachineFiles(f *testing.F) {
	f.Add("MemTotal: 5 kB\n", "0::/a\n1:memory:/b/../c\n", "max")
	f.Add("MemTotal: 9223372036854775807 kB", "0::", "-1")
	f.Fuzz(func(t *testing.T, info, group, limit string) {
		require.GreaterOrEqual(t, totalMemory(info), int64(0))
		require.GreaterOrEqual(t, number(limit), int64(0))
		for _, path := range groups(group) {
			require.True(t, filepath.IsAbs(path))
			require.Equal(t, filepath.Clean(path), path)
		}
	})
}
