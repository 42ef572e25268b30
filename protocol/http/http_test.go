package http_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	nethttp "net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/cert"
)

// shortDir returns a folder whose path leaves room for a socket name: a unix address has 108 bytes at most.
func shortDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "bh")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// serve runs a server until the test ends and returns how to stop it earlier.
func serve(t *testing.T, cfg http.ServerConfig, h nethttp.Handler) (*http.Server, func()) {
	s := http.NewServer(cfg, h)
	require.NoError(t, s.Listen())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	stopped := false
	stop := func() {
		if !stopped {
			stopped = true
			cancel()
			require.NoError(t, <-done)
		}
	}
	t.Cleanup(stop)
	return s, stop
}

func echo() nethttp.Handler {
	mux := nethttp.NewServeMux()
	mux.HandleFunc("PUT /echo/{name}", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		var in map[string]any
		if err := http.ReadJSON(r, &in); err != nil {
			refused := new(http.Error)
			_ = errors.As(err, &refused)
			http.WriteError(w, refused)
			return
		}
		in["name"] = r.PathValue("name")
		in["user"] = r.Header.Get(masterapi.HeaderUsername)
		http.WriteJSON(w, 200, in)
	})
	mux.HandleFunc("GET /empty", func(w nethttp.ResponseWriter, r *nethttp.Request) { http.WriteJSON(w, 200, nil) })
	mux.HandleFunc("GET /away", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		nethttp.Redirect(w, r, "http://127.0.0.1:1/", nethttp.StatusFound)
	})
	mux.HandleFunc("GET /denied", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		http.WriteError(w, http.Errorf(401, "unauthorized", "account unauthorized"))
	})
	mux.HandleFunc("GET /plain", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		nethttp.Error(w, "old server", 400)
	})
	return mux
}

func TestCallsOverUnixAndTCP(t *testing.T) {
	for _, address := range []string{"unix://" + shortDir(t) + "/sub/api.sock", "tcp://127.0.0.1:0"} {
		t.Run(address[:4], func(t *testing.T) {
			s, _ := serve(t, http.ServerConfig{Address: address}, echo())
			if strings.HasPrefix(address, "tcp") {
				address = "tcp://" + s.Addr().String()
			}
			c, err := http.NewClient(http.ClientConfig{Address: address, Username: "hub", Password: "p"})
			require.NoError(t, err)
			defer c.Close()
			var out map[string]string
			require.NoError(t, c.Put(t.Context(), "/echo/a%2Fb%25d", map[string]string{"k": "v"}, &out))
			require.Equal(t, map[string]string{"k": "v", "name": "a/b%d", "user": "hub"}, out)
			require.NoError(t, c.Get(t.Context(), "/empty", &out))

			for path, want := range map[string]string{
				"/denied": "[401] account unauthorized",
				"/plain":  "[400] old server",
				"/gone":   "[404] 404 page not found",
				"/away":   "[302]",
			} {
				err := c.Get(t.Context(), path, nil)
				var e *http.Error
				require.ErrorAs(t, err, &e, path)
				require.Contains(t, err.Error(), want)
			}
		})
	}
}

func TestBodyIsCapped(t *testing.T) {
	s, _ := serve(t, http.ServerConfig{Address: "tcp://127.0.0.1:0"}, echo())
	c, err := http.NewClient(http.ClientConfig{Address: "tcp://" + s.Addr().String()})
	require.NoError(t, err)
	defer c.Close()
	err = c.Put(t.Context(), "/echo/x", map[string]string{"k": strings.Repeat("x", http.MaxBody)}, nil)
	var e *http.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, 413, e.Status)
	require.Equal(t, "too_large", e.Code)
}

func TestSocketHasOneOwner(t *testing.T) {
	path := filepath.Join(shortDir(t), "api.sock")
	cfg := http.ServerConfig{Address: "unix://" + path}
	_, stop := serve(t, cfg, echo())
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	require.ErrorContains(t, http.NewServer(cfg, echo()).Listen(), "another process serves this socket")
	stop()
	require.NoFileExists(t, path)

	// A killed server leaves a socket file on which no process listens.
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	l.SetUnlinkOnClose(false)
	require.NoError(t, l.Close())
	_, stop = serve(t, cfg, echo())
	stop()

	require.NoError(t, os.WriteFile(path, []byte("data"), 0o600))
	require.ErrorContains(t, http.NewServer(cfg, echo()).Listen(), "is not a socket")
	require.FileExists(t, path)
}

func TestTLSIsApplied(t *testing.T) {
	crt, key := selfSigned(t)
	s, _ := serve(t, http.ServerConfig{Address: "tcp://127.0.0.1:0", Config: cert.Config{Cert: crt, Key: key}}, echo())
	address := s.Addr().String()

	plain, err := http.NewClient(http.ClientConfig{Address: "tcp://" + address})
	require.NoError(t, err)
	defer plain.Close()
	require.Error(t, plain.Get(t.Context(), "/empty", nil), "a plain client must not get through")

	for _, scheme := range []string{"tcp://", "https://"} {
		c, err := http.NewClient(http.ClientConfig{Address: scheme + address, Config: cert.Config{CA: crt}})
		require.NoError(t, err)
		require.NoError(t, c.Get(t.Context(), "/empty", nil))
		c.Close()
	}
}

func TestServerConfigIsValidated(t *testing.T) {
	for address, want := range map[string]string{
		"http://x:1":    "has none of the schemes",
		"tcp://x":       "write tcp://host:port",
		"unix://":       "path of the socket is missing",
		"https://x:443": "needs the keys cert and key",
	} {
		require.ErrorContains(t, http.ServerConfig{Address: address}.Validate(), want)
	}
	require.ErrorContains(
		t,
		http.ServerConfig{Address: "tcp://x:1", Config: cert.Config{Cert: "c"}}.Validate(),
		"must be set together",
	)
	require.ErrorContains(
		t,
		http.ServerConfig{Address: "unix://x", Config: cert.Config{Cert: "c", Key: "k"}}.Validate(),
		"is a unix socket, which has no TLS, but cert, key is set",
	)
}

// A handler that is busy when the server stops finds its context ended, and Serve waits for it.
func TestServeWaitsForHandlers(t *testing.T) {
	entered, left := make(chan struct{}), make(chan struct{})
	s, stop := serve(t, http.ServerConfig{Address: "tcp://127.0.0.1:0", Timeout: 200 * time.Millisecond},
		nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
			close(entered)
			<-r.Context().Done()
			http.WriteJSON(w, 503, nil)
			close(left)
		}))
	c, err := http.NewClient(http.ClientConfig{Address: "tcp://" + s.Addr().String()})
	require.NoError(t, err)
	defer c.Close()
	answered := make(chan error, 1)
	go func() { answered <- c.Get(context.Background(), "/", nil) }()
	<-entered
	stop()
	select {
	case <-left:
	default:
		t.Fatal("Serve returned before its handler")
	}
	require.ErrorContains(t, <-answered, "[503]")
}

func TestPostSendsWhatItIsGiven(t *testing.T) {
	s, _ := serve(
		t,
		http.ServerConfig{Address: "tcp://127.0.0.1:0"},
		nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil || r.Method != "POST" || r.Header.Get("X-Key") != "k" || r.Header.Get("Content-Type") != "text/x" ||
				string(body) != "not JSON" {
				http.WriteError(w, http.Errorf(400, "bad_request", "%s %v %q", r.Method, r.Header, body))
				return
			}
			_, _ = w.Write([]byte("nor this"))
		}),
	)
	c, err := http.NewClient(http.ClientConfig{Address: "tcp://" + s.Addr().String()})
	require.NoError(t, err)
	defer c.Close()
	require.NoError(
		t,
		c.Post(context.Background(), "/x", nethttp.Header{"X-Key": {"k"}, "Content-Type": {"text/x"}}, []byte("not JSON")),
	)
	require.ErrorContains(t, c.Post(context.Background(), "/x", nil, nil), "[400]")
}

func selfSigned(t *testing.T) (crt, key string) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	keyDER, err := x509.MarshalECPrivateKey(private)
	require.NoError(t, err)
	dir := t.TempDir()
	crt, key = filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	require.NoError(t, os.WriteFile(crt, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), 0o600))
	return crt, key
}
