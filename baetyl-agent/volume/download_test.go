package volume_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-agent/agenttest"
	"github.com/baetyl/baetyl/baetyl-agent/download"
	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/utils/cert"
)

func letters(n int) agenttest.Entry {
	return agenttest.Entry{Name: "f", Data: strings.Repeat("0123456789", n/10)}
}

// A connection that breaks, or is silent, again and again costs nothing but the break.
func TestDownloadGoesOnWhereItStopped(t *testing.T) {
	for _, hang := range []bool{false, true} {
		d, s := newDevice(t), agenttest.NewServer(t, false)
		d.cfg.StallTimeout = 300 * time.Millisecond
		d.open()
		data := agenttest.Zip(t, letters(10000))
		s.Cut(3000, hang)
		require.NoError(t, d.Ensure(bg, s.Put("v", "var/db/baetyl/v", data), none))
		want := []string{""}
		for at := 3000; at < len(data); at += 3000 {
			want = append(want, fmt.Sprintf("bytes=%d-", at))
		}
		require.Equal(t, want, s.Ranges())
		require.Len(t, d.read("v/f"), 10000)
	}
}

// [W49] The end of the agent ends a download at once; the next agent goes on with what is there.
func TestDownloadGoesOnAfterTheAgentsEnd(t *testing.T) {
	d, s := newDevice(t), agenttest.NewServer(t, false)
	v := s.Put("v", "var/db/baetyl/v", agenttest.Zip(t, letters(10000)))
	part := filepath.Join(d.cfg.Dir, ".agent/download", v.Meta.SHA256)
	s.Cut(3000, true)
	ctx, cancel := context.WithCancel(bg)
	ended := make(chan error, 1)
	go func() { ended <- d.Ensure(ctx, v, none) }()
	mqtttest.Until(
		t,
		"3000 bytes are there",
		func() bool { st, err := os.Stat(part); return err == nil && st.Size() == 3000 },
	)
	cancel()
	select {
	case err := <-ended:
		require.ErrorIs(t, err, context.Canceled)
	case <-time.After(5 * time.Second):
		t.Fatal("the download does not end")
	}
	d.open()
	s.Cut(0, false)
	require.NoError(t, d.Ensure(bg, v, none))
	require.Equal(t, []string{"", "bytes=3000-"}, s.Ranges())

	// A download that was whole when the power failed is not asked for again.
	v2 := s.Put("v", "var/db/baetyl/v2", agenttest.Zip(t, letters(500)))
	require.NoError(
		t,
		os.WriteFile(filepath.Join(d.cfg.Dir, ".agent/download", v2.Meta.SHA256), agenttest.Zip(t, letters(500)), 0o600),
	)
	require.NoError(t, d.Ensure(bg, v2, none))
	require.Len(t, s.Ranges(), 2)
}

func TestDownloadErrors(t *testing.T) {
	d, s := newDevice(t), agenttest.NewServer(t, false)
	v := s.Put("v", "var/db/baetyl/v", agenttest.Zip(t, letters(500)))
	for _, status := range []int{400, 401, 403, 404, 410} {
		s.Answer(status)
		require.ErrorContains(t, d.Ensure(bg, v, none), fmt.Sprintf("download: server answers %d", status))
	}
	before := len(s.Ranges())
	s.Answer(500, 503, 429, 408)
	require.NoError(t, d.Ensure(bg, v, none), "these pass")
	require.Len(t, s.Ranges(), before+5)

	// A digest that is wrong in what came in one piece is wrong.
	v = s.Put("v", "var/db/baetyl/w", agenttest.Zip(t, letters(600)))
	s.Replace(v, agenttest.Zip(t, letters(700)))
	require.ErrorIs(t, d.Ensure(bg, v, none), download.ErrDigest)
	v.Meta.SHA256 = ""
	require.ErrorIs(t, d.Ensure(bg, v, none), download.ErrDigest)
	require.ErrorContains(t, d.Ensure(bg, v, none), "md5")

	// In parts of two packages it is not.
	v = s.Put("v", "var/db/baetyl/x", agenttest.Zip(t, letters(600)))
	part := filepath.Join(d.cfg.Dir, ".agent/download", v.Meta.SHA256)
	require.NoError(t, os.WriteFile(part, []byte("of another package"), 0o600))
	require.NoError(t, d.Ensure(bg, v, none))

	// And longer than the package.
	v = s.Put("v", "var/db/baetyl/y", agenttest.Zip(t, letters(800)))
	part = filepath.Join(d.cfg.Dir, ".agent/download", v.Meta.SHA256)
	require.NoError(t, os.WriteFile(part, make([]byte, 10000), 0o600))
	require.NoError(t, d.Ensure(bg, v, none))
}

func TestDownloadIsGivenUpWithoutAByte(t *testing.T) {
	d, s := newDevice(t), agenttest.NewServer(t, false)
	v := s.Put("v", "var/db/baetyl/v", agenttest.Zip(t, letters(500)))
	s.Close()
	d.cfg.Timeout = 50 * time.Millisecond
	// While nothing at all is reachable it goes on.
	online := time.Now().Add(300 * time.Millisecond)
	d.cfg.Offline = func() bool { return time.Now().Before(online) }
	d.open()
	err := d.Ensure(bg, v, none)
	require.True(t, time.Now().After(online))
	require.ErrorContains(t, err, "given up after 50ms without a byte")
	require.ErrorContains(t, err, "connection refused")
	require.NotContains(t, err.Error(), "secret")
}

// [W46] The disk is asked first.
func TestDownloadNeedsSpace(t *testing.T) {
	d, s := newDevice(t), agenttest.NewServer(t, false)
	d.cfg.Limits.Free = 1 << 60
	d.open()
	err := d.Ensure(bg, s.Put("v", "var/db/baetyl/v", agenttest.Zip(t, letters(500))), none)
	require.ErrorIs(t, err, download.ErrSpace)
	require.False(t, errors.Is(err, download.ErrDigest))
}

// Packages may come from a server of the cloud's own authority, and nobody else.
func TestDownloadTrustsTheConfiguredAuthority(t *testing.T) {
	d, s := newDevice(t), agenttest.NewServer(t, true)
	ca := agenttest.WritePEM(t, "CERTIFICATE", s.Certificate().Raw)
	v := s.Put("v", "var/db/baetyl/v", agenttest.Zip(t, letters(500)))
	for _, c := range []cert.Config{{}, {CA: ca}} {
		client, err := download.NewClient(c)
		require.NoError(t, err)
		d.cfg.Client, d.cfg.Timeout = client, 20*time.Millisecond
		d.open()
		err = d.Ensure(bg, v, none)
		if c.CA == "" {
			require.ErrorContains(t, err, "certificate signed by unknown authority")
		} else {
			require.NoError(t, err)
		}
	}
	_, err := download.NewClient(cert.Config{CA: "/no/such"})
	require.ErrorContains(t, err, "load ca")
}
