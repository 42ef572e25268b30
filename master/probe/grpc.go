package probe

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"

	"github.com/baetyl/baetyl/protocol/app"
)

// checkPath is the one call of the health protocol of gRPC that a probe makes.
const checkPath = "/grpc.health.v1.Health/Check"

// maxMessage is how long the answer may be; it has two bytes.
const maxMessage = 4 << 10

// servingStatus are the names of HealthCheckResponse.ServingStatus.
var servingStatus = map[uint64]string{0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}

const serving = 1

// runGRPC makes the call with the HTTP/2 of the standard library: a library for gRPC would cost the master more memory
// than all its probes.
func runGRPC(ctx context.Context, p *app.ProbeGRPC, t Target) (string, error) {
	scheme, only := "http", new(http.Protocols)
	only.SetUnencryptedHTTP2(true)
	if p.TLS {
		scheme, only = "https", new(http.Protocols)
		only.SetHTTP2(true)
	}
	u := url.URL{Scheme: scheme, Host: authority(p.Endpoint), Path: checkPath}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(checkRequest(p.Service)))
	if err != nil {
		return "", err
	}
	r.Header = http.Header{"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "User-Agent": {"baetyl-probe"}}
	conn, err := dial(ctx, t, p.Endpoint, false)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	tr := &http.Transport{ // which dials in a goroutine that may outlive the call
		DialContext:     func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		TLSClientConfig: insecure(), Protocols: only, DisableKeepAlives: true, DisableCompression: true,
		MaxResponseHeaderBytes: maxHeader,
	}
	answer, err := tr.RoundTrip(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return beginning(answer.Body), fmt.Errorf("HTTP status %s", answer.Status)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxMessage))
	if err != nil {
		return "", err
	}
	trailer := answer.Trailer
	if answer.Header.Get("Grpc-Status") != "" { // an answer without a message
		trailer = answer.Header
	}
	if s := trailer.Get("Grpc-Status"); s != "0" {
		return trailer.Get("Grpc-Message"), fmt.Errorf("gRPC status %q", s)
	}
	status, err := parseCheck(body)
	switch {
	case err != nil:
		return "", err
	case status != serving:
		return "", fmt.Errorf("the service is %s", name(status))
	}
	return name(status), nil
}

func name(status uint64) string {
	if n := servingStatus[status]; n != "" {
		return n
	}
	return fmt.Sprint(status)
}

// checkRequest is a HealthCheckRequest {1: service} as a message of gRPC: a byte of flags and the length before it.
func checkRequest(service string) []byte {
	var m []byte
	if service != "" {
		m = append(binary.AppendUvarint([]byte{1<<3 | 2}, uint64(len(service))), service...)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(m))), m...) //nolint:gosec // 1 KiB at most
}

var errCheck = errors.New("the answer is no HealthCheckResponse of gRPC")

// parseCheck reads a HealthCheckResponse {1: status} as a message of gRPC. Fields that it does not know are left out.
func parseCheck(b []byte) (status uint64, err error) {
	if len(b) < 5 || b[0] != 0 || uint64(binary.BigEndian.Uint32(b[1:])) != uint64(len(b)-5) {
		return 0, errCheck
	}
	take := func() (n uint64) {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			err, b = errCheck, nil
			return 0
		}
		b = b[size:]
		return n
	}
	skip := func(n uint64) {
		if n > uint64(len(b)) {
			err, n = errCheck, uint64(len(b))
		}
		b = b[n:]
	}
	for b = b[5:]; len(b) > 0 && err == nil; {
		switch tag := take(); tag & 7 {
		case 0:
			if n := take(); tag>>3 == 1 {
				status = n
			}
		case 1:
			skip(8)
		case 2:
			skip(take())
		case 5:
			skip(4)
		default:
			return 0, errCheck
		}
	}
	return status, err
}
