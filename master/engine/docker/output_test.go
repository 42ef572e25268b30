//go:build linux

package docker_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/enginetest"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// What a container wrote that has written much and ended at once is in the file, whole and once, though it is removed
// right after; the last line is its own.
func TestOutputOfWhatEndsAtOnce(t *testing.T) {
	const lines = 9000 // 9 MB, so that the daemon rotates its files
	b := newBench(t)
	box, err := b.Open(t.Context(), service("t-burst", "burst", strconv.Itoa(lines)))
	require.NoError(t, err)
	const runs = 3
	for range runs {
		i, err := box.Start(t.Context(), engine.Spec{
			Name: "t-burst", Env: map[string]string{masterapi.EnvServiceToken: "token"}, // it mounts the socket: it is ours
		})
		require.NoError(t, err)
		enginetest.Ended(t, i)
		require.ErrorContains(t, i.Exit().Err, "3")
		require.Contains(t, i.Output(), "last words")
		i.Stop(t.Context())
	}
	require.NoError(t, box.Close())
	data, err := os.ReadFile(filepath.Join(b.dir, "var/log/baetyl/services/t-burst.log"))
	require.NoError(t, err)
	count := map[string]int{}
	for line := range strings.Lines(string(data)) {
		if _, text, ok := strings.Cut(line, "stdout: n="); ok {
			n, _, _ := strings.Cut(text, ".")
			count[n]++
		}
	}
	for n := range lines {
		require.Equal(t, runs, count[strconv.Itoa(n)], "line %d", n)
	}
	require.Equal(t, runs, strings.Count(string(data), "stdout: last words\n"))
	require.Equal(t, runs*(100<<10), strings.Count(string(data), "y"))
}

// The last lines of an adopted container are its own, also when an earlier master has read them; not those of an
// earlier container of that name.
func TestLastLinesOfAnAdoptedContainer(t *testing.T) {
	for last, args := range map[string][]string{"boom": {"fail"}, "": {"succeed"}} {
		t.Run(args[0], func(t *testing.T) {
			b := newBench(t)
			s := service("t-last", args...)
			before := service("t-last", "burst", "1")
			box, err := b.Open(t.Context(), before)
			require.NoError(t, err)
			i, err := box.Start(t.Context(), engine.Spec{
				Name: "t-last", Env: map[string]string{masterapi.EnvServiceToken: "token"},
			})
			require.NoError(t, err)
			enginetest.Ended(t, i)
			i.Stop(t.Context())
			require.NoError(t, box.Close())

			i = b.start(t, s)
			enginetest.Ended(t, i)
			r := i.Record()
			next := newMaster(t, b.api, b.dir)
			require.NoError(t, next.Reap(t.Context(), []engine.Record{r}, []engine.Record{r}))
			box, err = next.Open(t.Context(), s)
			require.NoError(t, err)
			got, err := box.Adopt(t.Context(), engine.Spec{Name: s.Name, Handle: r.Handle}, r)
			require.NoError(t, err)
			enginetest.Ended(t, got)
			if last == "" {
				require.Empty(t, got.Output())
			} else {
				require.Equal(t, []string{last}, got.Output())
			}
			require.NoError(t, box.Close())
		})
	}
}
