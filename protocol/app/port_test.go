package app_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/app"
)

// What is accepted has ports in range and fields without the separators of the syntax.
func FuzzPortsAndDevices(f *testing.F) {
	for _, s := range []string{"0.0.0.0:1883:1883/tcp", "[::1]:1:2/udp", "80", "8000-8010:8000-8010/udp",
		"/dev/sda:/dev/xvdc:r", "/dev/video0",
		":::", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if all, err := app.ParsePorts(text); err == nil {
			require.NotEmpty(t, all)
			for _, p := range all {
				require.True(t, p.Container > 0 && p.Container < 1<<16 && p.Host >= 0 && p.Host < 1<<16)
				require.True(t, p.HostEnd == 0 || p.HostEnd > p.Host && p.HostEnd < 1<<16)
				require.Contains(t, []string{"tcp", "udp", "sctp"}, p.Protocol)
			}
		}
		if d, err := app.ParseDevice(text); err == nil {
			require.NotContains(t, d.Host+d.Container+d.Permissions, ":")
			require.NotEmpty(t, d.Permissions)
		}
	})
}
