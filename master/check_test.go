package master_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master"
	"github.com/baetyl/baetyl/master/engine/enginetest"
	"github.com/baetyl/baetyl/utils/log"
)

// checked is the error of a check.
func checked(workdir, config string) error {
	_, err := master.Check(workdir, config)
	return err
}

// Check and the start say the same about what keeps a master from starting, and nothing about what does not.
func TestCheckIsTheStart(t *testing.T) {
	mkdir := func(path string) error { return os.MkdirAll(path, 0o755) }
	write := func(path string) error {
		_ = mkdir(filepath.Dir(path)) // the file cannot be written then
		return os.WriteFile(path, []byte("x"), 0o600)
	}
	for name, c := range map[string]struct {
		conf   string
		change func(dir string) error
		want   string
	}{
		"nothing":         {"", mkdir, ""},
		"long folder":     {"server: {address: 'unix://var/" + strings.Repeat("d", 200) + "/s'}", mkdir, ""},
		"too long folder": {"server: {address: 'unix://var/" + strings.Repeat("d", 256) + "/s'}", mkdir, "file name too long"},
		"long name":       {"server: {address: 'unix://var/" + strings.Repeat("s", 91) + "'}", mkdir, "the system takes 90"},
		"file for a folder": {"", func(dir string) error { return write(filepath.Join(dir, "var/run")) },
			"is needed as a folder, and is a file; move it away"},
		"file for a folder of the socket": {"server: {address: 'unix://x/y/s'}",
			func(dir string) error { return write(filepath.Join(dir, "x")) }, "server.address: "},
		"link to nothing": {"", func(dir string) error { return os.Symlink("/no/where", filepath.Join(dir, "var")) },
			"is a link to nothing"},
		"link to a folder": {"", func(dir string) error { return os.Symlink(t.TempDir(), filepath.Join(dir, "var")) }, ""},
		"no socket": {"", func(dir string) error { return mkdir(filepath.Join(dir, "var/run/baetyl/admin.sock")) },
			"admin socket: "},
		"serial number is missing": {"snfile: sn", mkdir, "snfile: "},
		"serial number":            {"snfile: sn", func(dir string) error { return write(filepath.Join(dir, "sn")) }, ""},
		"certificate": {"server: {address: 'tcp://127.0.0.1:0', cert: c, key: k}",
			func(dir string) error { return write(filepath.Join(dir, "c")) }, "server: load cert "},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "conf.yml")
			text := c.conf
			if !strings.Contains(text, "server") {
				text = strings.TrimSpace(text + "\nserver: {address: 'unix://var/run/baetyl.sock'}")
			}
			require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
			require.NoError(t, c.change(dir))
			said := checked(dir, path)
			cfg, err := master.LoadConfig(path)
			require.NoError(t, err)
			_, err = master.New(cfg, enginetest.NewFake(), master.Options{Workdir: dir, Config: path, Log: log.Discard()})
			if c.want == "" {
				require.NoError(t, said)
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, said, c.want)
			require.EqualError(t, err, said.Error())
		})
	}
}
