package agenttest

import (
	"crypto/rsa"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/baetyl/baetyl/protocol/cloud"
)

// Cloud is an HTTPS server that takes the reports of one device.
type Cloud struct {
	*httptest.Server
	t      testing.TB
	device *rsa.PublicKey

	mu      sync.Mutex
	status  int // of the answers
	headers []http.Header
	reports []cloud.Report // that were answered with 200
	tried   int            // reports that came, whatever the answer was
}

// NewCloud returns a cloud that answers 200 and ends with the test.
func NewCloud(t testing.TB, server Certificate, device *rsa.PublicKey) *Cloud {
	c := &Cloud{t: t, device: device, status: http.StatusOK}
	c.Server = httptest.NewUnstartedServer(http.HandlerFunc(c.serve))
	c.TLS = &tls.Config{Certificates: []tls.Certificate{server.Pair}}
	c.StartTLS()
	t.Cleanup(c.Close)
	return c
}

// Answer sets the status of the next answers.
func (c *Cloud) Answer(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status = status
}

// Tried returns how many reports came, whatever the answer was.
func (c *Cloud) Tried() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tried
}

// Reports returns the reports that were taken, and the headers that they had.
func (c *Cloud) Reports() ([]cloud.Report, []http.Header) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]cloud.Report{}, c.reports...), append([]http.Header{}, c.headers...)
}

// Steps returns the steps of trace as the newest report that has them gives them, and whether two reports contradict
// each other.
func (c *Cloud) Steps(trace string) (steps string, contradiction error) {
	reports, _ := c.Reports()
	for _, r := range reports {
		now := ""
		for _, p := range r.OTA[trace] {
			now += " " + p.Step
		}
		if now != "" && len(now) >= len(steps) && now[:len(steps)] == steps {
			steps = now
		} else if now != "" {
			contradiction = fmt.Errorf("after%s came%s", steps, now)
		}
	}
	return steps, contradiction
}

func (c *Cloud) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tried++
	if err != nil { // the agent was killed
		return
	}
	if c.status != http.StatusOK {
		w.WriteHeader(c.status)
		return
	}
	var report cloud.Report
	plain, err := cloud.Sealed{Key: r.Header.Get(cloud.HeaderKey), Body: string(body)}.Open(c.device)
	if err == nil {
		err = json.Unmarshal(plain, &report)
	}
	if err != nil || r.Method != http.MethodPost || r.URL.Path != cloud.ReportURL {
		c.t.Errorf("report by %s to %s: %v", r.Method, r.URL, err)
		return
	}
	c.reports, c.headers = append(c.reports, report), append(c.headers, r.Header)
}
