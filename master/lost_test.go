//go:build unix

package master_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master"
	"github.com/baetyl/baetyl/master/application"
	"github.com/baetyl/baetyl/utils/conf"
)

// A missing application is an empty one; one that was lost is an error. A lost conf.yml is the defaults, as before.
func TestCheckTellsMissingFromLost(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, application.File)
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
	require.NoError(t, checked(dir, master.ConfigFile))
	for name, make := range map[string]func() error{
		"is empty":                  func() error { return os.WriteFile(file, nil, 0o600) },
		"only zero bytes":           func() error { return os.WriteFile(file, []byte("\x00\x00"), 0o600) },
		"a second document begins":  func() error { return os.WriteFile(file, []byte("version: a\n---\nversion: b\n"), 0o600) },
		"is a link to nothing":      func() error { return os.Symlink("gone.yml", file) },
		"is a FIFO":                 func() error { return syscall.Mkfifo(file, 0o600) },
		"is a device":               func() error { return os.Symlink(os.DevNull, file) },
		"is a folder; name a file":  func() error { return os.Mkdir(file, 0o700) },
		"is forbidden here":         func() error { return os.WriteFile(file, []byte("version: '{{.HOME}}'"), 0o600) },
		"from line 2 on there are ": func() error { return os.WriteFile(file, []byte("version: a\n\x00\x00"), 0o600) },
	} {
		require.NoError(t, make())
		require.ErrorContains(t, checked(dir, master.ConfigFile), name)
		require.NoError(t, os.Remove(file))
	}

	config := filepath.Join(dir, "conf.yml")
	require.NoError(t, os.Symlink("gone.yml", config))
	var warnings []string
	c, err := master.LoadConfig(config, conf.Warn(func(text string) { warnings = append(warnings, text) }))
	require.NoError(t, err)
	require.Equal(t, "docker", c.Mode)
	require.Len(t, warnings, 1)
	require.Contains(t, warnings[0], config+": is a link to nothing, gone.yml; ")
	require.NoError(t, checked(dir, config))
}
