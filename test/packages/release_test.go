//go:build packages

package packages_test

import (
	"crypto/sha256"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// Two builds from other folders, with other umasks and zones, of files with other times and owners, give the same bytes
// and the same signature.
func TestReproducible(t *testing.T) {
	long(t)
	secret := filepath.Join(t.TempDir(), "test.key")
	public := filepath.Join(t.TempDir(), "test.pub")
	command(t, nil, filepath.Join(checkout, "output/cache/minisign"), "-G", "-W", "-s", secret, "-p", public)
	var builds []map[string][32]byte
	for _, way := range []struct{ umask, zone, owner, time string }{
		{"0022", "UTC", "0", "@1000000000"}, {"0077", "Asia/Tokyo", "12345", "@1600000000"},
	} {
		dir := filepath.Join(t.TempDir(), "a folder", way.owner)
		require.NoError(t, os.MkdirAll(dir, 0o755))
		copied := `cd "$1" && git ls-files -z --cached --others --exclude-standard |
tar --null --no-recursion -T - -cf - | tar -xf - -C "$2" && chown -R -h "$3" "$2" &&
find "$2" -exec touch -h -d "$4" {} +`
		command(t, nil, "sh", "-c", copied, "sh", checkout, dir, way.owner, way.time)
		out := filepath.Join(t.TempDir(), "out")
		command(t, []string{
			"TZ=" + way.zone, "SOURCE_DATE_EPOCH=1700000000", "OUT=" + out, "MINISIGN_KEY=" + secret, "MINISIGN_PUBLIC=" + public,
		}, "sh", "-c", `umask "$1" && cd "$2" && make packages TARGETS="amd64 runtimes" REVISION=git-000000`,
			"sh", way.umask, dir)
		builds = append(builds, sums(t, out))
	}
	want := []string{"SHA256SUMS", "SHA256SUMS.minisig", "install.sh", "install_with_docker_example.sh"}
	for _, kind := range []string{"cdx.json", "deb", "rpm", "tar.gz"} {
		want = append(want, "baetyl-"+version+"-linux-amd64."+kind)
	}
	for _, name := range []string{"baetyl-example", "baetyl-function-node", "baetyl-function-python3"} {
		want = append(want, name+"-"+version+".deb", name+"-"+version+".rpm")
	}
	for _, b := range builds {
		require.ElementsMatch(t, want, slices.Collect(maps.Keys(b)))
	}
	for name, sum := range builds[0] {
		require.Equal(t, sum, builds[1][name], name)
	}
}

func sums(t *testing.T, dir string) map[string][32]byte {
	t.Helper()
	out := map[string][32]byte{}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		require.NoError(t, err)
		out[e.Name()] = sha256.Sum256(data)
	}
	return out
}
