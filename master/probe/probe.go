// Package probe asks an instance whether it works, in one of the ways that package app describes.
//
//	app.Probe ─► Run ─┬ exec: Target.Exec, status 0
//	                  └ http, tcp, mqtt, grpc: Target.Dial ─► one exchange ─► health.Result
//
// It promises that Run returns soon after the timeout of the probe, whatever the other side does: sends nothing, a byte
// a minute, or without end. Of what that sends it keeps health.MaxOutput bytes. No probe follows a redirect, asks a
// proxy or keeps a connection. It knows neither services nor what becomes of a result.
package probe

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/health"
	"github.com/baetyl/baetyl/protocol/app"
)

// Target is an instance. engine.Instance implements it.
type Target interface {
	// Exec runs a command in it: see engine.Instance.
	Exec(ctx context.Context, e engine.Exec) (status int, err error)
	// Dial connects to where it listens: see engine.Instance.
	Dial(ctx context.Context, e app.Endpoint) (net.Conn, error)
}

// slack is how long Run waits after the timeout for what it has asked to end.
const slack = 2 * time.Second

// Run makes one probe. ended is closed when nothing of it is left, which is before Run returns, unless the engine does
// not end the command in time: then the caller waits for it before the next one.
func Run(ctx context.Context, p app.Probe, t Target) (r health.Result, ended <-chan struct{}) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.Timeout, fmt.Errorf("no answer within %s", p.Timeout))
	done := make(chan struct{})
	result := make(chan health.Result, 1)
	go func() {
		defer close(done)
		defer cancel()
		result <- run(ctx, p, t)
	}()
	select {
	case r = <-result:
		<-done
		return r, done
	case <-ctx.Done():
	}
	timer := time.NewTimer(slack)
	defer timer.Stop()
	select {
	case r = <-result:
		<-done
	case <-timer.C:
		r = health.Result{Output: fmt.Sprintf("no answer within %s, and the probe has not ended since", p.Timeout)}
	}
	return r, done
}

func run(ctx context.Context, p app.Probe, t Target) health.Result {
	var text string
	var err error
	switch {
	case p.Exec != nil:
		text, err = runExec(ctx, p.Exec, t)
	case p.HTTP != nil:
		text, err = runHTTP(ctx, p.HTTP, t)
	case p.MQTT != nil:
		text, err = overConn(ctx, t, p.MQTT.Endpoint, p.MQTT.TLS, askMQTT)
	case p.GRPC != nil:
		text, err = runGRPC(ctx, p.GRPC, t)
	case p.TCP != nil:
		text, err = overConn(ctx, t, p.TCP.Endpoint, false, func(net.Conn) (string, error) { return "", nil })
	}
	if err == nil {
		return health.Result{OK: true, Output: text}
	}
	if errors.Is(err, engine.ErrUnavailable) {
		return health.Result{Unknown: true}
	}
	out := err.Error()
	if cause := context.Cause(ctx); cause != nil { // deadlines and closed connections are its effects
		out = cause.Error()
	}
	if text != "" {
		out += "\n" + text
	}
	return health.Result{Output: out}
}

// dial connects, with TLS if wanted. The connection ends with ctx, whatever waits on it.
func dial(ctx context.Context, t Target, e app.Endpoint, secure bool) (net.Conn, error) {
	conn, err := t.Dial(ctx, e)
	if err != nil {
		return nil, err
	}
	// Not a deadline of its own: it could pass a moment before that of ctx, and the reason would be another.
	context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	if !secure {
		return conn, nil
	}
	tlsConn := tls.Client(conn, insecure())
	if err := tlsConn.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return tlsConn, nil
}

// insecure trusts everybody: the question is whether the service works, and its own address is the one that is asked.
func insecure() *tls.Config { return &tls.Config{InsecureSkipVerify: true} } //nolint:gosec // see above

// overConn makes one exchange over a connection.
func overConn(
	ctx context.Context, t Target, e app.Endpoint, secure bool, ask func(net.Conn) (string, error),
) (string, error) {
	conn, err := dial(ctx, t, e, secure)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return ask(conn)
}

// maxWritten is how much a command may write in all.
const maxWritten = 1 << 20

var errTooMuch = errors.New("the probe has written too much")

// head keeps the beginning of what is written to it. It has one writer at a time.
type head struct {
	bytes.Buffer
	written int
}

func (h *head) Write(p []byte) (int, error) {
	h.written += len(p)
	if h.written > maxWritten {
		return 0, errTooMuch
	}
	h.Buffer.Write(p[:min(len(p), health.MaxOutput-h.Buffer.Len())])
	return len(p), nil
}

func runExec(ctx context.Context, p *app.ProbeExec, t Target) (string, error) {
	var out, errs head
	status, err := t.Exec(ctx, engine.Exec{Args: p.Command, Stdout: &out, Stderr: &errs})
	if ctx.Err() != nil && err == nil {
		err = ctx.Err()
	}
	text := errs.String() + out.String() // an error is to stand first
	switch {
	case err != nil:
		return text, err
	case out.written > maxWritten || errs.written > maxWritten:
		return text, fmt.Errorf("%s has written more than %d KiB", p.Command[0], maxWritten>>10)
	case status != 0:
		return text, fmt.Errorf("%s has ended with status %d", p.Command[0], status)
	}
	return text, nil
}
