package cgroup

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseMounts(t *testing.T) {
	got := parseMounts(`31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
41 31 0:38 /docker/ab /mnt/with\040blank rw - cgroup2 cgroup2 rw,nsdelegate
garbage
1 1 0:1 / relative rw - cgroup cgroup rw
`)
	require.Equal(t, []mount{
		{root: "/", point: "/sys/fs/cgroup/cpu,cpuacct", controllers: []string{"rw", "cpu", "cpuacct"}},
		{root: "/docker/ab", point: "/mnt/with blank", v2: true},
	}, got)
}

func TestParseOwn(t *testing.T) {
	got := parseOwn("9:name=systemd:/\n4:memory:/a:b\n2:cpu,cpuacct:/x\n0::/user.slice\nbroken\n1:x:relative\n")
	require.Equal(t, map[string]string{
		"name=systemd": "/", "memory": "/a:b", "cpu": "/x", "cpuacct": "/x", "": "/user.slice",
	}, got)
}

func TestLocate(t *testing.T) {
	dir := t.TempDir()
	at := filepath.Base(dir)
	m := mount{root: "/docker/x", point: filepath.Dir(dir)}
	for own, want := range map[string]string{
		"/docker/x/" + at: dir, "/docker/x": m.point, "/docker/xy": m.point, "/": m.point, "/docker/x/gone": m.point,
		"/docker/x/../" + at: m.point, "": m.point,
	} {
		require.Equal(t, want, m.locate(own), own)
	}
}

// Nothing that a kernel, a container or a service writes makes a parser fail, or leads out of a hierarchy.
func FuzzParse(f *testing.F) {
	f.Add("32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n", "0::/a\n4:memory:/../b\n")
	f.Add("usage_usec 12\noom_kill max\n", "0-2,4")
	f.Add("12\n0\n-1\n", "hub@hub.%2fi1")
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, m := range parseMounts(a) {
			require.True(t, filepath.IsAbs(m.point))
			for _, own := range parseOwn(b) {
				rel, err := filepath.Rel(m.point, m.locate(own))
				require.NoError(t, err)
				require.False(t, rel == ".." || len(rel) > 2 && rel[:3] == "../", rel)
			}
		}
		parseKeyed(a)
		for c := range parseCores(b) {
			require.True(t, c >= 0 && c <= maxCores)
		}
		// A name is one folder, is read as it was written, and no other text is a name.
		name := nameOf(a, b)
		require.Equal(t, name, filepath.Base(name))
		service, instance, ok := parseName(name)
		require.True(t, ok)
		require.Equal(t, [2]string{a, b}, [2]string{service, instance})
		if service, instance, ok := parseName(a); ok {
			require.Equal(t, a, nameOf(service, instance))
		}
	})
}
