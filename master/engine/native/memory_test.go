//go:build linux

package native_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/app"
)

// What a service puts into shared memory ends with it: nothing piles up there from life to life.
func TestSharedMemory(t *testing.T) {
	const script = `
ls /dev/shm
head -c 1000000 /dev/zero >/dev/shm/mine-$BAETYL_SERVICE_NAME && stat -c %s /dev/shm/mine-$BAETYL_SERVICE_NAME
ipcmk -M 1000000 >/dev/null && ipcs -m | grep -c 1000000
grep " /dev/shm " /proc/self/mountinfo | tail -1 | grep -c size=`
	for name, isAgent := range map[string]bool{"a service": false, "the agent": true} {
		t.Run(name, func(t *testing.T) {
			h := ownHost(t)
			before, err := exec.Command("ipcs", "-m").Output()
			if err != nil {
				t.Skip("ipcs: ", err)
			}
			s := h.service(t, "svc", script)
			if isAgent { // /dev is hidden from it
				s.API = []app.Right{{Name: app.RightUpdate}}
				s = with(s, "all", "var/db/baetyl", "volumes", false)
			}
			for range 2 {
				require.Equal(t, []string{"1000000", "1", "1"}, h.once(t, s))
			}
			after, err := exec.Command("ipcs", "-m").Output()
			require.NoError(t, err)
			require.Equal(t, string(before), string(after))
			left, err := filepath.Glob("/dev/shm/mine-*")
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
}
