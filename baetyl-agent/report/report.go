// Package report tells the cloud how the device is: at once, on an interval, and whenever an update makes progress.
//
//	master ──inspect─┐
//	                 ├─► Report ─► Seal ─► POST ─► 2xx: steps are reported
//	eventstore ─steps┘                       └──► else: again after a growing delay, with what is true then
//
// It promises that a report always has the newest state, so that nothing piles up while the cloud is away, and that a
// step of an update is in every report until one with it has arrived.
package report

import (
	"context"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	nethttp "net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/baetyl/baetyl/baetyl-agent/eventstore"
	"github.com/baetyl/baetyl/protocol/cloud"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/backoff"
	"github.com/baetyl/baetyl/utils/log"
)

// inspectTimeout is how long the master has to answer; a report without its part is better than none.
const inspectTimeout = 20 * time.Second

// Reporter sends reports. Its fields are set before Run and not changed.
type Reporter struct {
	Client   *http.Client
	URL      string // path on the server
	Interval time.Duration
	ClientID string
	Serial   string
	Key      *rsa.PrivateKey
	Inspect  func(context.Context) (*masterapi.Inspect, error)
	Events   *eventstore.Store
	Log      log.Logger

	failed int         // attempts in a row
	away   atomic.Bool // the last attempt failed
}

// Away tells that the last report did not arrive. It may be called from any goroutine.
func (r *Reporter) Away() bool { return r.away.Load() }

// Run reports until ctx ends.
func (r *Reporter) Run(ctx context.Context) error {
	for {
		wait := r.Interval
		news := r.Events.Changed()
		if err := r.Send(ctx); ctx.Err() != nil {
			return nil
		} else if err != nil {
			if r.failed == 0 {
				r.Log.WithError(err).Warnf("report did not arrive; trying until one does")
			}
			wait = retry(r.Interval).Delay(r.failed, rand.Float64())
			r.failed++
			r.away.Store(true)
			news = nil // it is told with the next attempt; no news may hurry a cloud that is away
		} else if r.failed > 0 {
			r.Log.Infof("reports arrive again after %d attempts", r.failed)
			r.failed = 0
			r.away.Store(false)
		}
		select {
		case <-time.After(wait):
		case <-news:
		case <-ctx.Done():
			return nil
		}
	}
}

// retry is the time between attempts while none succeeds; the jitter keeps a fleet from coming back all at once.
func retry(interval time.Duration) backoff.Policy {
	return backoff.Policy{Min: time.Second, Max: max(time.Minute, 2*interval), Jitter: 0.3}
}

// Send makes a report of what is true now and sends it.
func (r *Reporter) Send(ctx context.Context) error {
	jobs := r.Events.Jobs()
	content, err := json.Marshal(r.report(ctx, jobs))
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	sealed, err := cloud.Seal(r.Key, content)
	if err != nil {
		return fmt.Errorf("seal report: %w", err)
	}
	header := nethttp.Header{"Content-Type": {cloud.ContentType}}
	header.Set(cloud.HeaderSerial, r.Serial)
	header.Set(cloud.HeaderKey, sealed.Key)
	header.Set(cloud.HeaderClientID, r.ClientID)
	if err := r.Client.Post(ctx, r.URL, header, []byte(sealed.Body)); err != nil {
		if ue := new(url.Error); errors.As(err, &ue) { // the address may carry a secret
			err = ue.Err
		}
		return fmt.Errorf("send report: %w", err)
	}
	return r.Events.Reported(jobs)
}

func (r *Reporter) report(ctx context.Context, jobs []eventstore.Job) cloud.Report {
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	out := cloud.Report{Inspect: masterapi.Inspect{Time: time.Now().UTC()}}
	if i, err := r.Inspect(ctx); err != nil {
		out.Error = err.Error()
	} else {
		out.Inspect = *i
	}
	for _, j := range jobs {
		if out.OTA == nil {
			out.OTA = map[string][]cloud.Progress{}
		}
		out.OTA[j.OTA.Trace] = j.Steps
	}
	return out
}
