package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The program of an earlier install goes, and what a function runtime says of itself stays.
func TestOwn(t *testing.T) {
	for name, abilities := range map[string]string{"baetyl-hub": "", "baetyl-function-sql": "socket: true\n"} {
		module, dir := filepath.Join(t.TempDir(), name), filepath.Join(t.TempDir(), name)
		write(t, filepath.Join(module, "main.go"), "package main")
		if abilities != "" {
			write(t, filepath.Join(module, "function.yml"), abilities)
		}
		write(t, filepath.Join(dir, "bin", name), "binary")
		for range 2 {
			run(t, "own", module, dir)
		}
		require.Equal(t, "entry: '@baetyl'\nargs: [module, "+name+"]\n", read(t, filepath.Join(dir, "package.yml")))
		require.NoDirExists(t, filepath.Join(dir, "bin"))
		require.NoDirExists(t, dir+".new")
		require.NoDirExists(t, dir+".old")
		_, err := os.Stat(filepath.Join(dir, "function.yml"))
		require.Equal(t, abilities == "", os.IsNotExist(err))
	}
}
