// Package report sends the state of the device to the cloud: at the start, on an interval, and whenever an update
// makes a step.
//
//	master ──inspect─┐
//	                 ├─► report ─► Seal ─► POST ─► 2xx: the steps are reported
//	eventstore ─steps┘                       └───► else: a new report after a growing delay
//
// It promises that a report always has the present state, so that no reports queue up while the cloud is unreachable,
// and that a step of an update is in every report until a report with it has arrived.
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

// inspectTimeout is how long the master has to answer; after that a report with its error is sent.
const inspectTimeout = 20 * time.Second

// Reporter sends reports. Its fields are set before Run and not changed.
type Reporter struct {
	Client   *http.Client
	URL      string          // path on the server
	Interval time.Duration   // between two reports
	ClientID string          // of the device
	Serial   string          // number of the device's certificate, in decimal
	Key      *rsa.PrivateKey // seals reports
	Inspect  func(context.Context) (*masterapi.Inspect, error)
	Events   *eventstore.Store
	Log      log.Logger

	failures int         // since the last report that arrived
	away     atomic.Bool // the last report did not arrive

	arrived, lost atomic.Uint64
}

// Sent returns how many reports have arrived, and how many have not. It may be called from any goroutine.
func (r *Reporter) Sent() (arrived, lost uint64) { return r.arrived.Load(), r.lost.Load() }

// Away tells whether the last report did not arrive. It may be called from any goroutine.
func (r *Reporter) Away() bool { return r.away.Load() }

// Run sends reports until ctx ends. It is called once, and logs when reports stop to arrive and when they arrive again.
func (r *Reporter) Run(ctx context.Context) error {
	for {
		wait := r.Interval
		news := r.Events.Changed()
		if err := r.Send(ctx); ctx.Err() != nil {
			return nil
		} else if err != nil {
			if r.failures == 0 {
				r.Log.WithError(err).Warnf("report did not arrive; trying again until one does")
			}
			wait = retry(r.Interval).Delay(r.failures, rand.Float64())
			r.failures++
			r.away.Store(true)
			r.lost.Add(1)
			news = nil // new steps are in the next report; they must not shorten the delay
		} else {
			if r.failures > 0 {
				r.Log.Infof("reports arrive again, after %d that did not", r.failures)
				r.failures = 0
				r.away.Store(false)
			}
			r.arrived.Add(1)
		}
		select {
		case <-time.After(wait):
		case <-news:
		case <-ctx.Done():
			return nil
		}
	}
}

// retry is the delay between failed reports; its jitter keeps many devices from reporting at the same moment.
func retry(interval time.Duration) backoff.Policy {
	return backoff.Policy{Min: time.Second, Max: max(time.Minute, 2*interval), Jitter: 0.3}
}

// Send makes a report of the present state and sends it. Errors contain no URL.
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
		if ue := new(url.Error); errors.As(err, &ue) { // the URL may hold a secret
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
