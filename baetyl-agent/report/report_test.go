package report_test

import (
	"bytes"
	"context"
	"crypto/rsa"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-agent/agenttest"
	"github.com/baetyl/baetyl/baetyl-agent/eventstore"
	"github.com/baetyl/baetyl/baetyl-agent/report"
	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/protocol/cloud"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/cert"
	"github.com/baetyl/baetyl/utils/log"
)

var bg = context.Background()

func newReporter(t *testing.T) (*report.Reporter, *agenttest.Cloud, *bytes.Buffer) {
	ca := agenttest.NewAuthority(t)
	device := ca.Issue("dev", big.NewInt(7))
	c := agenttest.NewCloud(t, ca.Issue("cloud", big.NewInt(2)), device.Public)
	client, err := http.NewClient(http.ClientConfig{Address: c.URL, Config: cert.Config{CA: ca.CA}})
	require.NoError(t, err)
	j, err := eventstore.Open(bg, eventstore.Config{Dir: t.TempDir(), Log: log.Discard()})
	require.NoError(t, err)
	t.Cleanup(func() { j.Close() })
	var text bytes.Buffer
	m := agenttest.NewMaster(t.TempDir())
	return &report.Reporter{
		Client:   client,
		URL:      cloud.ReportURL,
		Interval: time.Hour,
		ClientID: "dev",
		Serial:   "7",
		Key:      device.Pair.PrivateKey.(*rsa.PrivateKey),
		Inspect:  m.Inspect,
		Events:   j,
		Log:      log.NewTo(&text, log.Config{Level: "debug"}),
	}, c, &text
}

func TestAReportWithoutTheMaster(t *testing.T) {
	r, c, _ := newReporter(t)
	r.Inspect = func(context.Context) (*masterapi.Inspect, error) { return nil, errors.New("master is away") }
	require.NoError(t, r.Send(bg))
	reports, _ := c.Reports()
	require.Equal(t, "master is away", reports[0].Error)
	require.WithinDuration(t, time.Now(), reports[0].Time, time.Minute)
}

// A new step is reported at once, not on the next interval.
func TestProgressIsReportedAtOnce(t *testing.T) {
	r, c, text := newReporter(t)
	ctx, cancel := context.WithCancel(bg)
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	mqtttest.Until(t, "the first report", func() bool { return c.Tried() == 1 })
	o := cloud.OTA{
		Type:   "APP",
		Trace:  "t",
		Volume: cloud.Volume{Name: "v", Path: "var/db/baetyl/v", Meta: agenttest.Meta("http://c/v", nil)},
	}
	_, err := r.Events.Add(bg, o, time.Now())
	require.NoError(t, err)
	mqtttest.Until(t, "RECEIVED", func() bool { s, _ := c.Steps("t"); return s == " RECEIVED" })
	require.NoError(t, r.Events.Step("t", 1, false, cloud.Progress{Step: "UPDATED", Trace: "t"}))
	mqtttest.Until(t, "UPDATED", func() bool { s, _ := c.Steps("t"); return s == " RECEIVED UPDATED" })
	mqtttest.Until(t, "the update is forgotten", func() bool { return len(r.Events.Jobs()) == 0 })
	cancel()
	require.NoError(t, <-ended)
	require.Empty(t, text.String(), "reports that arrive are not logged")
}

// While the cloud is unreachable the delays grow, new steps do not shorten them, and the log has one line.
func TestBackoff(t *testing.T) {
	r, c, text := newReporter(t)
	r.Interval = time.Millisecond
	c.Answer(503)
	ctx, cancel := context.WithCancel(bg)
	ended := make(chan error, 1)
	begin := time.Now()
	go func() { ended <- r.Run(ctx) }()
	o := cloud.OTA{
		Type:   "APP",
		Trace:  "t",
		Volume: cloud.Volume{Name: "v", Path: "var/db/baetyl/v", Meta: agenttest.Meta("http://c/v", nil)},
	}
	_, err := r.Events.Add(bg, o, time.Now())
	require.NoError(t, err)
	for i := 0; c.Tried() < 3; i++ {
		require.NoError(t, r.Events.Step("t", i, false, cloud.Progress{Step: "UPDATING", Trace: "t"}))
	}
	require.Greater(t, time.Since(begin), 1500*time.Millisecond, "1s and 2s, less 30%%")
	require.Len(t, r.Events.Jobs(), 1)
	require.True(t, r.Away())
	c.Answer(200)
	mqtttest.Until(t, "reports again", func() bool { reports, _ := c.Reports(); return len(reports) > 10 })
	require.False(t, r.Away())
	cancel()
	require.NoError(t, <-ended)
	require.Equal(t, 2, bytes.Count(text.Bytes(), []byte("\n")), text.String())
}

func TestErrorsCarryNoAddress(t *testing.T) {
	r, c, _ := newReporter(t)
	r.URL = "/v3?sig=secret"
	c.Close()
	err := r.Send(bg)
	require.ErrorContains(t, err, "send report: ")
	require.NotContains(t, err.Error(), "secret")
}
