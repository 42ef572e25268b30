package cmd_test

import (
	"context"
	nethttp "net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master"
	"github.com/baetyl/baetyl/master/backup"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// serve answers in place of a master until end is called.
func (d *device) serve(t *testing.T, h nethttp.Handler) (end func()) {
	s := http.NewServer(http.ServerConfig{Address: "unix://" + d.path(masterapi.AdminSocket)}, h)
	require.NoError(t, s.Listen())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	return func() {
		cancel()
		require.NoError(t, <-done)
	}
}

// Who reads slowly, as in a pager, gets every line once, though the master ends a stream that is not read for long.
func TestLogsGoOn(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 30, 1, 2, 3, 0, time.UTC)
	line := func(seconds int, service, text string) masterapi.LogLine {
		return masterapi.LogLine{
			Time: at.Add(time.Duration(seconds) * time.Second), Service: service, Instance: service, Text: text,
		}
	}
	all := []masterapi.LogLine{
		line(1, "a", "1"), line(2, "b", "2"), line(3, "a", "3"), line(3, "a", "4"), line(3, "a", "5"), line(4, "b", "6"),
	}
	var asked []string
	d := newDevice(t, "")
	end := d.serve(t,
		nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
			asked = append(asked, r.URL.Query().Get(masterapi.QuerySince)+" "+r.URL.Query().Get(masterapi.QueryTail))
			first, n := len(asked) == 1, 0
			_ = http.ServeStream(w, r, http.ContentLines, func(_ context.Context, s *http.Stream) error {
				since, _ := time.Parse(time.RFC3339Nano, r.URL.Query().Get(masterapi.QuerySince)) // none: the zero time
				for _, l := range all {
					if n++; first && n == 5 {
						return http.Errorf(408, http.CodeUnread, "the stream was not read")
					}
					if l.Time.Before(since) {
						continue
					}
					if err := s.Send(l); err != nil {
						return err
					}
				}
				return nil
			}) // an error was answered
		}))
	out, errs, status := execute("logs", "-w", filepath.Clean(d.dir), "--tail", "100", "a", "b")
	end()
	require.Zero(t, status, errs)
	require.Equal(t, "a | 1\nb | 2\na | 3\na | 4\na | 5\nb | 6\n", out)
	require.Equal(t, []string{" 100", at.Add(2*time.Second).Format(time.RFC3339Nano) + " "}, asked)
}

// A backup that the master cannot finish has the reason in it, and its connection is broken off: the reason is said,
// whichever of both the command sees first.
func TestBackupSaysWhyItHasNoEnd(t *testing.T) {
	t.Parallel()
	d := newDevice(t, counting)
	end := d.serve(t, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		_ = http.ServeStream(w, r, masterapi.ContentArchive, func(ctx context.Context, s *http.Stream) error {
			o := master.BackupOptions(master.Config{}, d.dir, "1", "r", false)
			o.Freeze, o.Hold = frozen{}, func(context.Context) (func(), error) { return nil, masterapi.ErrBusy }
			_, err := backup.Write(ctx, s, o)
			return err
		}) // an error was answered
	}))
	defer end()
	for range 10 {
		_, errs, status := execute("backup", "-w", filepath.Clean(d.dir), "-")
		require.Equal(t, 1, status)
		require.Contains(t, errs, masterapi.ErrBusy.Error())
	}
}

type frozen struct{}

func (frozen) Freeze(context.Context) (func(), error) { return func() {}, nil }
