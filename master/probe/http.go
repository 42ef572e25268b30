package probe

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"

	"github.com/baetyl/baetyl/master/health"
	"github.com/baetyl/baetyl/protocol/app"
)

// maxHeader is how much of the header of an answer is read, in bytes.
const maxHeader = 64 << 10

func runHTTP(ctx context.Context, p *app.ProbeHTTP, t Target) (string, error) {
	scheme := cmp.Or(p.Scheme, "http")
	// the transport takes off TLS, so that it knows what to write into the request; the address is Dial's
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+authority(p.Endpoint)+cmp.Or(p.Path, "/"), nil)
	if err != nil {
		return "", err
	}
	r.Host = p.Host
	r.Header.Set("User-Agent", "baetyl-probe")
	tr := &http.Transport{
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return dial(ctx, t, p.Endpoint, false) },
		TLSClientConfig:   insecure(),
		DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
	}
	answer, err := tr.RoundTrip(r) // follows no redirect
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	good := answer.StatusCode >= 200 && answer.StatusCode < 400
	if len(p.Status) > 0 {
		good = slices.Contains(p.Status, answer.StatusCode)
	}
	if good {
		return answer.Status, nil // the body may be endless
	}
	return beginning(answer.Body), fmt.Errorf("HTTP status %s", answer.Status)
}

// authority is what stands in the request where p.Host is empty.
func authority(e app.Endpoint) string {
	if e.Socket != "" {
		return "localhost"
	}
	return net.JoinHostPort(cmp.Or(e.Address, "localhost"), strconv.Itoa(e.Port))
}

// beginning reads as much as is kept, as far as it comes before the deadline of the connection.
func beginning(r io.Reader) string {
	data, _ := io.ReadAll(io.LimitReader(r, health.MaxOutput))
	return string(data)
}
