package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Nobody but the user who installs writes to what root runs, whatever the umask is; a narrower one holds.
func TestInstallUnderAnyUmask(t *testing.T) {
	source := t.TempDir()
	for name, content := range map[string]string{"baetyl": "x", ".build/installer": "#!/bin/sh\n"} {
		path := filepath.Join(source, name)
		write(t, path, content)
		require.NoError(t, os.Chmod(path, 0o755))
	}
	for _, name := range []string{"scripts/install-tree.sh", "scripts/lib.sh"} {
		write(t, filepath.Join(source, name), read(t, filepath.Join("../..", name)))
	}
	for umask, want := range map[string]fs.FileMode{"000": 0o755, "002": 0o755, "022": 0o755, "027": 0o750, "077": 0o700} {
		prefix := filepath.Join(t.TempDir(), "prefix")
		c := exec.Command("sh", "-c", `umask "$1" && exec sh scripts/install-tree.sh "$2" example`, "sh", umask, prefix)
		c.Dir = source
		out, err := c.CombinedOutput()
		require.NoError(t, err, "%s", out)
		for _, name := range []string{"", "bin", "bin/baetyl", "var", "var/db", "var/db/baetyl"} {
			info, err := os.Stat(filepath.Join(prefix, name))
			require.NoError(t, err)
			require.Equal(t, want, info.Mode().Perm(), "%s with umask %s", name, umask)
		}
	}
}
