//go:build linux

package cmd

import (
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/cmd/out"
)

func FuzzHost(f *testing.F) {
	for _, s := range []string{
		"ssh://root@gw.example:2222/opt/bin/baetyl", "ssh://[fe80::1%25eth0]:22", "ssh://-oProxyCommand=x", "x",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var h host
		if h.Set(text) != nil {
			require.Zero(t, h)
			return
		}
		require.False(t, strings.HasPrefix(h.name, "-") || strings.HasPrefix(h.user, "-"))
		require.NotContains(t, h.name+h.user, " ")
		require.Error(t, h.Set(text), "one device")
		var same host
		require.NoError(t, same.Set(h.String()))
		require.Equal(t, h, same)
	})
}

func TestHostIsChecked(t *testing.T) {
	for text, want := range map[string]string{
		"gw1": "write ssh://", "http://gw1": "write ssh://", "ssh://": "is no name of a host",
		"ssh://-oProxyCommand=x": "is no name of a host", "ssh://-l@gw1": "is no name of a user", "ssh://gw1?x": "write ssh://",
		"ssh://me:secret@gw1": "use a key", "ssh://gw1:0": "port 0 is not 1 to 65535", "ssh://gw1:99999": "port 99999",
		"ssh://g;w": "", "ssh://a b": "",
	} {
		var h host
		err := h.Set(text)
		require.ErrorContains(t, err, want, text)
		require.NotContains(t, err.Error(), "secret")
	}
}

// A command with a file of its own says what --host does with that.
func TestFilesOfCommandsAreSent(t *testing.T) {
	var all func(c *cobra.Command)
	all = func(c *cobra.Command) {
		if strings.Contains(c.Use, "FILE") {
			known := slices.Contains(sends, c.Name()) || slices.Contains(brings, c.Name())
			require.True(t, known, "%s: which of the lists in host.go?", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			all(sub)
		}
	}
	all(root(&env{Out: out.New(io.Discard, os.Getenv)}))
}
