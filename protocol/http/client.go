package http

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	nethttp "net/http"
	"time"

	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/addr"
	"github.com/baetyl/baetyl/utils/cert"
	"github.com/baetyl/baetyl/utils/conf"
)

// maxAnswer is the largest answer that a client reads, in bytes: an inspect of hundreds of instances is far smaller.
const maxAnswer = 16 << 20

// ClientConfig says how to reach a server.
type ClientConfig struct {
	// unix://path, tcp://host:port, http://…, https://…
	Address string `yaml:"address" json:"address"`
	// for one call; 0 in code means the default
	Timeout time.Duration `yaml:"timeout" json:"timeout" default:"5m" validate:"min=1"`
	// that an unused connection is kept; 0 in code means the default
	KeepAlive   time.Duration                   `yaml:"keepalive" json:"keepalive" default:"10m" validate:"min=1"`
	Username    string                          `yaml:"username" json:"username"`
	Password    conf.Secret                     `yaml:"password" json:"password"`
	cert.Config `yaml:",inline" json:",inline"` // with tcp, any of them turns TLS on
}

// Client calls a server. It may be used from any goroutine.
type Client struct {
	cfg  ClientConfig
	base string // scheme://host
	http nethttp.Client
}

// NewClient returns a client of the server at cfg.Address. It does not connect.
func NewClient(cfg ClientConfig) (*Client, error) {
	a, err := addr.Dial(cfg.Address, "", "unix", "tcp", "http", "https")
	if err != nil {
		return nil, fmt.Errorf("address: %w", err)
	}
	d := conf.Default[ClientConfig]()
	if cfg.Timeout <= 0 {
		cfg.Timeout = d.Timeout
	}
	if cfg.KeepAlive <= 0 {
		cfg.KeepAlive = d.KeepAlive
	}
	dialer := &net.Dialer{Timeout: 30 * time.Second}
	transport := &nethttp.Transport{
		DialContext:         dialer.DialContext,
		TLSHandshakeTimeout: 30 * time.Second,
		IdleConnTimeout:     cfg.KeepAlive,
		MaxIdleConnsPerHost: 4,
	}
	c := &Client{cfg: cfg, base: "http://" + a.Host}
	switch {
	case a.Scheme == "unix":
		c.base = "http://baetyl"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialUnix(ctx, dialer, a.Path)
		}
	case a.Scheme == "https", a.Scheme == "tcp" && !cfg.Config.Empty():
		c.base = "https://" + a.Host
		if transport.TLSClientConfig, err = cert.Client(cfg.Config); err != nil {
			return nil, err
		}
	}
	if a.Scheme == "http" || a.Scheme == "https" {
		// not for tcp and unix: they are this device or its network, and no proxy may see the token
		transport.Proxy = nethttp.ProxyFromEnvironment
	}
	c.http = nethttp.Client{
		Transport: transport,
		Timeout:   cfg.Timeout,
		// Credentials are in headers that Go would send on to any host.
		CheckRedirect: func(*nethttp.Request, []*nethttp.Request) error { return nethttp.ErrUseLastResponse },
	}
	return c, nil
}

// Close drops the connections that are kept. The client may be used again.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Get asks for path, which is escaped already, and decodes the JSON answer into out, unless out is nil. A status of
// 300 or more is an *Error.
func (c *Client) Get(ctx context.Context, path string, out any) error {
	return c.do(ctx, nethttp.MethodGet, path, nil, out)
}

// Put sends in as JSON (nothing when in is nil) to path; the rest is as in Get. An empty answer leaves out alone.
func (c *Client) Put(ctx context.Context, path string, in, out any) error {
	return c.do(ctx, nethttp.MethodPut, path, in, out)
}

// Post sends body, whatever it is, to path with header added; the rest is as in Get, but for the answer, which is
// ignored.
func (c *Client) Post(ctx context.Context, path string, header nethttp.Header, body []byte) error {
	_, err := c.send(ctx, nethttp.MethodPost, path, header, body)
	return err
}

// PostJSON is Put with the method POST.
func (c *Client) PostJSON(ctx context.Context, path string, in, out any) error {
	return c.do(ctx, nethttp.MethodPost, path, in, out)
}

func (c *Client) do(ctx context.Context, method, path string, in, out any) error {
	header, body, err := encode(path, in)
	if err != nil {
		return err
	}
	data, err := c.send(ctx, method, path, header, body)
	if err != nil || out == nil || len(bytes.TrimSpace(data)) == 0 {
		return err
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("decode answer of %s: %w", path, err)
	}
	return nil
}

// encode returns in as JSON, with the header that says so; nothing for nil.
func encode(path string, in any) (nethttp.Header, []byte, error) {
	if in == nil {
		return nil, nil, nil
	}
	body, err := json.Marshal(in)
	if err != nil {
		return nil, nil, fmt.Errorf("encode body for %s: %w", path, err)
	}
	return nethttp.Header{"Content-Type": {"application/json"}}, body, nil
}

// send does one exchange and returns the body of a good answer.
func (c *Client) send(ctx context.Context, method, path string, header nethttp.Header, body []byte) ([]byte, error) {
	res, err := c.begin(ctx, &c.http, method, path, header, body)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	return readAnswer(path, res)
}

// begin sends a request with the client h, and returns a good answer, whose body the caller closes.
func (c *Client) begin(ctx context.Context, h *nethttp.Client, method, path string, header nethttp.Header,
	body []byte) (*nethttp.Response, error) {
	var content io.Reader
	if len(body) > 0 {
		content = bytes.NewReader(body)
	}
	req, err := nethttp.NewRequestWithContext(ctx, method, c.base+path, content)
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Header, header)
	if c.cfg.Username != "" {
		req.Header.Set(masterapi.HeaderUsername, c.cfg.Username)
	}
	if c.cfg.Password != "" {
		req.Header.Set(masterapi.HeaderPassword, string(c.cfg.Password))
	}
	res, err := h.Do(req)
	if err != nil || res.StatusCode < 300 {
		return res, err
	}
	defer res.Body.Close()
	data, err := readAnswer(path, res)
	if err != nil {
		return nil, err
	}
	return nil, readError(res.StatusCode, data)
}

func readAnswer(path string, res *nethttp.Response) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("read answer of %s: %w", path, err)
	}
	if len(data) > maxAnswer {
		return nil, fmt.Errorf("read answer of %s: larger than %d bytes", path, maxAnswer)
	}
	return data, nil
}
