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

// bulk is a file of n bytes.
func bulk(n int) agenttest.Entry {
	return agenttest.Entry{Name: "f", Data: strings.Repeat("0123456789", n/10)}
}

// A download continues where a connection broke or stalled.
func TestDownloadGoesOnWhereItStopped(t *testing.T) {
	for _, hang := range []bool{false, true} {
		d, s := newDevice(t), agenttest.NewServer(t, false)
		if hang {
			d.cfg.StallTimeout = 2 * time.Second // a busy machine may pause for a moment
		}
		d.open()
		data := agenttest.Zip(t, bulk(10000))
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

// The end of the agent ends a download at once; the next agent continues it.
func TestDownloadGoesOnAfterTheAgentsEnd(t *testing.T) {
	d, s := newDevice(t), agenttest.NewServer(t, false)
	v := s.Put("v", "var/db/baetyl/v", agenttest.Zip(t, bulk(10000)))
	part := filepath.Join(d.cfg.Dir, ".agent/download", v.Meta.SHA256)
	s.Cut(3000, true)
	ctx, cancel := context.WithCancel(bg)
	ended := make(chan error, 1)
	go func() { ended <- d.Ensure(ctx, v, none) }()
	mqtttest.Until(t, "3000 bytes are there", func() bool {
		st, err := os.Stat(part)
		return err == nil && st.Size() == 3000
	})
	cancel()
	select {
	case err := <-ended:
		require.ErrorIs(t, err, context.Canceled)
	case <-time.After(time.Minute):
		t.Fatal("the download does not end")
	}
	d.open()
	s.Cut(0, false)
	require.NoError(t, d.Ensure(bg, v, none))
	require.Equal(t, []string{"", "bytes=3000-"}, s.Ranges())

	// A download that was whole when the power failed is not asked for again.
	data := agenttest.Zip(t, bulk(500))
	v2 := s.Put("v", "var/db/baetyl/v2", data)
	require.NoError(t, os.WriteFile(filepath.Join(d.cfg.Dir, ".agent/download", v2.Meta.SHA256), data, 0o600))
	require.NoError(t, d.Ensure(bg, v2, none))
	require.Len(t, s.Ranges(), 2)
}

func TestDownloadErrors(t *testing.T) {
	d, s := newDevice(t), agenttest.NewServer(t, false)
	v := s.Put("v", "var/db/baetyl/v", agenttest.Zip(t, bulk(500)))
	for _, status := range []int{400, 401, 403, 404, 410} {
		s.Answer(status)
		require.ErrorContains(t, d.Ensure(bg, v, none), fmt.Sprintf("download: server answers %d", status))
	}
	before := len(s.Ranges())
	s.Answer(500, 503, 429, 408)
	require.NoError(t, d.Ensure(bg, v, none), "these pass")
	require.Len(t, s.Ranges(), before+5)

	// A download that came in one piece and has a wrong digest fails.
	v = s.Put("v", "var/db/baetyl/w", agenttest.Zip(t, bulk(600)))
	s.Replace(v, agenttest.Zip(t, bulk(700)))
	require.ErrorIs(t, d.Ensure(bg, v, none), download.ErrDigest)
	v.Meta.SHA256 = ""
	require.ErrorIs(t, d.Ensure(bg, v, none), download.ErrDigest)
	require.ErrorContains(t, d.Ensure(bg, v, none), "md5")

	// One that continued a part of another package is downloaded again, from the start.
	v = s.Put("v", "var/db/baetyl/x", agenttest.Zip(t, bulk(600)))
	part := filepath.Join(d.cfg.Dir, ".agent/download", v.Meta.SHA256)
	require.NoError(t, os.WriteFile(part, []byte("of another package"), 0o600))
	require.NoError(t, d.Ensure(bg, v, none))

	// So is one that continued a part that is longer than the package.
	v = s.Put("v", "var/db/baetyl/y", agenttest.Zip(t, bulk(800)))
	part = filepath.Join(d.cfg.Dir, ".agent/download", v.Meta.SHA256)
	require.NoError(t, os.WriteFile(part, make([]byte, 10000), 0o600))
	require.NoError(t, d.Ensure(bg, v, none))
}

func TestDownloadIsGivenUpWithoutAByte(t *testing.T) {
	d, s := newDevice(t), agenttest.NewServer(t, false)
	v := s.Put("v", "var/db/baetyl/v", agenttest.Zip(t, bulk(500)))
	s.Close()
	d.cfg.Timeout = 50 * time.Millisecond
	// While the cloud is unreachable too, the download is tried again.
	online := time.Now().Add(300 * time.Millisecond)
	d.cfg.Offline = func() bool { return time.Now().Before(online) }
	d.open()
	err := d.Ensure(bg, v, none)
	require.True(t, time.Now().After(online))
	require.ErrorContains(t, err, "given up after 50ms without a byte")
	require.ErrorContains(t, err, "connection refused")
	require.NotContains(t, err.Error(), "secret")
}

// A download that does not fit on the disk is refused before it starts.
func TestDownloadNeedsSpace(t *testing.T) {
	d, s := newDevice(t), agenttest.NewServer(t, false)
	d.cfg.Limits.Free = 1 << 60
	d.open()
	err := d.Ensure(bg, s.Put("v", "var/db/baetyl/v", agenttest.Zip(t, bulk(500))), none)
	require.ErrorIs(t, err, download.ErrSpace)
	require.False(t, errors.Is(err, download.ErrDigest))
}

// A server with a certificate of the configured CA is trusted; without that CA it is not.
func TestDownloadTrustsTheConfiguredAuthority(t *testing.T) {
	d, s := newDevice(t), agenttest.NewServer(t, true)
	ca := agenttest.WritePEM(t, "CERTIFICATE", s.Certificate().Raw)
	v := s.Put("v", "var/db/baetyl/v", agenttest.Zip(t, bulk(500)))
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
