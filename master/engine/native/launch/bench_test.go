//go:build linux

package launch

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// What a start costs: by itself, as a user without rights, and with everything. The program ends at once.
func BenchmarkStart(b *testing.B) {
	b.Run("plain", func(b *testing.B) {
		for b.Loop() {
			require.NoError(b, exec.Command("/bin/true").Run())
		}
	})
	user := Spec{Program: "/bin/true", Args: []string{"true"}, UID: service, GID: service}
	all := user
	all.PrivateTmp, all.HideProc = true, true
	all.ReadOnly, all.Hidden = []string{filepath.Dir(program())}, []string{"/srv", "/etc/hostname"}
	for name, s := range map[string]Spec{"user": user, "everything": all} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				cmd := command()
				why, err := start(cmd, s)
				require.NoError(b, err)
				require.Empty(b, why)
				require.NoError(b, cmd.Wait())
			}
		})
	}
}
