//go:build linux

package dockertest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// ProxyOptions say how a proxy changes what a daemon answers. The zero value changes nothing. The functions are called
// from many goroutines.
type ProxyOptions struct {
	// Min and Max are the API versions that the daemon pretends to speak, for example "1.24" and "1.41". Others are
	// refused as a daemon refuses them. Default those of the daemon. What it really speaks has to cover Min; requests of
	// a version above are sent on with its own.
	Min, Max string
	// Delay is how long each request waits before it is sent on.
	Delay time.Duration
	// Hold chooses requests that wait until the options change, also when their client has gone: then they are sent on.
	Hold func(*http.Request) bool
	// Fail chooses requests that are answered with a status and a message, as a daemon's errors are. 0 sends it on.
	Fail func(*http.Request) (status int, message string)
	// Drop chooses requests whose connection ends without an answer.
	Drop func(*http.Request) bool
}

// P is a proxy in front of a daemon.
type P struct {
	socket, to string
	real       string // the newest version of the daemon

	mu      sync.Mutex
	o       ProxyOptions
	changed chan struct{} // closed by Set
}

// Proxy starts a proxy in front of the daemon at to (unix://…). It goes with the test.
func Proxy(t testing.TB, to string, o ProxyOptions) *P {
	t.Helper()
	dir, err := os.MkdirTemp("", "bp") // short, since a socket lies in it
	if err != nil {
		t.Fatal(err)
	}
	p := &P{socket: filepath.Join(dir, "docker.sock"), to: strings.TrimPrefix(to, "unix://"), o: o,
		changed: make(chan struct{})}
	l, err := net.Listen("unix", p.socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: p.handler()}
	var served sync.WaitGroup
	served.Go(func() { _ = s.Serve(l) })
	t.Cleanup(func() {
		p.Set(ProxyOptions{})
		_ = s.Close()
		served.Wait()
		_ = os.RemoveAll(dir)
	})
	return p
}

// Host returns the DOCKER_HOST of the proxy.
func (p *P) Host() string { return "unix://" + p.socket }

// Set changes the options. Requests that are held are looked at again.
func (p *P) Set(o ProxyOptions) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.o = o
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *P) options() (ProxyOptions, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.o, p.changed
}

func (p *P) handler() http.Handler {
	transport := &http.Transport{
		DisableKeepAlives: true, // a daemon may have been replaced
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", p.to)
		},
	}
	proxy := &httputil.ReverseProxy{
		Transport:     transport,
		FlushInterval: -1, // logs and events are read while they come
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", "docker", "docker"
		},
		ModifyResponse: func(r *http.Response) error {
			o, _ := p.options()
			return pretend(r, o)
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			panic(http.ErrAbortHandler) // no daemon answers so: the connection ends
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A context that can't end would make ReverseProxy listen for the end of the connection.
		ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
		defer cancel()
		o, r, err := p.wait(ctx, r)
		if err != nil || o.Drop != nil && o.Drop(r) {
			panic(http.ErrAbortHandler)
		}
		time.Sleep(o.Delay)
		if o.Fail != nil {
			if status, message := o.Fail(r); status != 0 {
				refuse(w, status, message)
				return
			}
		}
		if message := p.version(r, o); message != "" {
			refuse(w, http.StatusBadRequest, message)
			return
		}
		proxy.ServeHTTP(w, r)
	})
}

// wait returns the options that let r pass, and r as it is sent on: with ctx if it was held.
func (p *P) wait(ctx context.Context, r *http.Request) (ProxyOptions, *http.Request, error) {
	o, changed := p.options()
	if o.Hold == nil || !o.Hold(r) {
		return o, r, nil
	}
	body, err := io.ReadAll(r.Body) // its client may go
	if err != nil {
		return o, nil, err
	}
	for o.Hold != nil && o.Hold(r) {
		<-changed
		o, changed = p.options()
	}
	r = r.Clone(ctx)
	r.Body = io.NopCloser(bytes.NewReader(body))
	return o, r, nil
}

func refuse(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": message})
}

var versioned = regexp.MustCompile(`^/v(1\.[0-9]+)(/.*)$`)

// version returns what a daemon of the pretended versions says to r, or "". It changes the version of r to one that the
// real daemon knows.
func (p *P) version(r *http.Request, o ProxyOptions) string {
	m := versioned.FindStringSubmatch(r.URL.Path)
	if m == nil {
		return ""
	}
	asked := minor(m[1])
	if o.Max != "" && asked > minor(o.Max) {
		return fmt.Sprintf("client version %s is too new. Maximum supported API version is %s", m[1], o.Max)
	}
	if o.Min != "" && asked < minor(o.Min) {
		return fmt.Sprintf("client version %s is too old. Minimum supported API version is %s, "+
			"please upgrade your client to a newer version", m[1], o.Min)
	}
	if o.Max != "" {
		if real := p.newest(); asked > minor(real) {
			r.URL.Path, r.URL.RawPath = "/v"+real+m[2], ""
		}
	}
	return ""
}

// newest asks the daemon for its newest version, once.
func (p *P) newest() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.real == "" {
		dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", p.to)
		}
		c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}, Timeout: startTimeout}
		if r, err := c.Get("http://docker/_ping"); err == nil {
			_ = r.Body.Close()
			p.real = r.Header.Get("Api-Version")
		}
	}
	return cmp.Or(p.real, "1.24")
}

func minor(version string) int {
	_, m, _ := strings.Cut(version, ".")
	n, _ := strconv.Atoi(m)
	return n
}

// pretend puts the versions into what a daemon says about itself.
func pretend(r *http.Response, o ProxyOptions) error {
	if o.Max != "" && r.Header.Get("Api-Version") != "" {
		r.Header.Set("Api-Version", o.Max)
	}
	if r.StatusCode != http.StatusOK || !strings.HasSuffix(r.Request.URL.Path, "/version") || o.Max+o.Min == "" {
		return nil
	}
	var about map[string]any
	if err := json.NewDecoder(r.Body).Decode(&about); err != nil {
		return err
	}
	_ = r.Body.Close()
	about["ApiVersion"] = cmp.Or(o.Max, fmt.Sprint(about["ApiVersion"]))
	about["MinAPIVersion"] = cmp.Or(o.Min, fmt.Sprint(about["MinAPIVersion"]))
	data, err := json.Marshal(about)
	if err != nil {
		return err
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
	r.Header.Set("Content-Length", strconv.Itoa(len(data)))
	return nil
}
