package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	nethttp "net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// upgrade opens a connection for a command in service all, as a person.
func (r *rig) upgrade() (io.ReadWriteCloser, error) {
	c, err := http.NewClient(http.ClientConfig{Address: "unix://" + r.admin})
	require.NoError(r.t, err)
	r.t.Cleanup(c.Close)
	return c.Upgrade(r.t.Context(), nethttp.MethodPost, masterapi.PathExec("all", ""), masterapi.ExecProtocol)
}

// begin sends a command.
func (r *rig) begin(q masterapi.ExecRequest) io.ReadWriteCloser {
	r.t.Helper()
	conn, err := r.upgrade()
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = conn.Close() })
	body, err := json.Marshal(q)
	require.NoError(r.t, err)
	r.send(conn, masterapi.ExecStart, body)
	return conn
}

func (r *rig) send(conn io.Writer, kind masterapi.ExecFrame, body []byte) {
	r.t.Helper()
	_, err := conn.Write(masterapi.AppendExecFrame(nil, kind, body))
	require.NoError(r.t, err)
}

// receive returns what the next frame of that kind holds; other kinds before it are skipped.
func (r *rig) receive(conn io.Reader, want masterapi.ExecFrame) []byte {
	r.t.Helper()
	for {
		kind, body, err := masterapi.ReadExecFrame(conn)
		require.NoError(r.t, err)
		if kind == want {
			return body
		}
	}
}

// failure is why a command was not run.
func (r *rig) failure(conn io.Reader) (e masterapi.Error) {
	r.t.Helper()
	require.NoError(r.t, json.Unmarshal(r.receive(conn, masterapi.ExecFailed), &e))
	return e
}

// execAnswers gives the answers of exec that come before a command.
func (r *rig) execAnswers() {
	r.t.Helper()
	post := nethttp.MethodPost
	r.asPerson(404, "not_found", "service (ghost) not found", post, masterapi.PathExec("ghost", ""), "")
	r.asPerson(404, "not_found", "instance (all.i7)", post, masterapi.PathExec("all", "all.i7"), "")
	r.asPerson(409, "not_running", "service (f) does not run", post, masterapi.PathExec("f", ""), "")
	r.asPerson(426, "upgrade_required", "Upgrade: baetyl-exec/1", post, masterapi.PathExec("all", "all"), "")
	r.fake.OnExec(func(ctx context.Context, _ string, _ engine.Exec) (int, error) { <-ctx.Done(); return 0, nil })
	var open []io.Closer
	for range 16 {
		open = append(open, r.begin(masterapi.ExecRequest{Args: []string{"x"}}))
	}
	_, err := r.upgrade()
	require.ErrorContains(r.t, err, "[429]")
	for _, c := range open {
		require.NoError(r.t, c.Close())
	}
	require.Eventually(r.t, func() bool {
		conn, err := r.upgrade()
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, time.Minute, 5*time.Millisecond)
}

// A command gets what the client sends, and the client what it writes.
func TestExec(t *testing.T) {
	r := newRig(t)
	asked := make(chan engine.Exec, 1)
	r.fake.OnExec(func(_ context.Context, instance string, e engine.Exec) (int, error) {
		asked <- e
		in, err := io.ReadAll(e.Stdin)
		if err != nil {
			return 0, err
		}
		_, _ = io.WriteString(e.Stdout, strings.ToUpper(string(in))+instance)
		_, _ = io.WriteString(e.Stderr, "bad")
		sig, size := <-e.Signals, <-e.Terminal.Resize
		_, _ = io.WriteString(e.Stdout, sig.String())
		return int(size.Rows), nil
	})
	conn := r.begin(masterapi.ExecRequest{
		Args: []string{"p", "a b"}, Env: map[string]string{"K": "V"}, Dir: "/d", Stdin: true,
		Terminal: &masterapi.ExecSize{Rows: 1, Columns: 2},
	})
	r.send(conn, masterapi.ExecInput, []byte("text "))
	r.send(conn, masterapi.ExecSignal, []byte("SIGNOTHING")) // is ignored, as 0 is
	require.Equal(t, 5, masterapi.ParseExecNumber(r.receive(conn, masterapi.ExecTaken)))
	r.send(conn, masterapi.ExecInput, nil)
	e := <-asked
	require.Equal(t, []string{"p", "a b"}, e.Args)
	require.Equal(t, "/d", e.Dir)
	require.Equal(t, map[string]string{"K": "V"}, e.Env)
	require.Equal(t, engine.Size{Rows: 1, Columns: 2}, e.Terminal.Size)
	require.Equal(t, "TEXT all", string(r.receive(conn, masterapi.ExecOutput)))
	require.Equal(t, "bad", string(r.receive(conn, masterapi.ExecErrors)))
	require.Equal(t, syscall.Signal(0).String(), string(r.receiveAfterResize(conn)))
	require.Equal(t, 44, masterapi.ParseExecNumber(r.receive(conn, masterapi.ExecExit)))
	_, _, err := masterapi.ReadExecFrame(conn)
	require.ErrorIs(t, err, io.EOF)
}

func (r *rig) receiveAfterResize(conn io.ReadWriter) []byte {
	r.send(conn, masterapi.ExecResize, masterapi.ExecSize{Rows: 44, Columns: 1}.Body())
	return r.receive(conn, masterapi.ExecOutput)
}

// What a client must not send ends the command, and what the command cannot do is said.
func TestExecRefuses(t *testing.T) {
	r := newRig(t)
	for code, err := range map[string]error{
		"no_program": engine.ErrNoProgram, "not_executable": engine.ErrNotExecutable, "ended": engine.ErrEnded,
		"failed": errors.New("disk full"),
	} {
		r.fake.OnExec(func(context.Context, string, engine.Exec) (int, error) { return 0, err })
		e := r.failure(r.begin(masterapi.ExecRequest{Args: []string{"x"}}))
		require.Equal(t, code, e.Code)
		require.Contains(t, e.Message, err.Error())
	}
	require.Contains(t, r.failure(r.begin(masterapi.ExecRequest{})).Message, "args: name a program")
	conn, err := r.upgrade()
	require.NoError(t, err)
	r.send(conn, masterapi.ExecInput, []byte("x"))
	require.Equal(t, "bad_request", r.failure(conn).Code)
	why := make(chan error, 1)
	r.fake.OnExec(func(ctx context.Context, _ string, e engine.Exec) (int, error) {
		<-ctx.Done()
		why <- context.Cause(ctx)
		return 0, nil
	})
	for text, send := range map[string]func(conn io.WriteCloser){
		"more than 262144 bytes of input": func(conn io.WriteCloser) {
			for range masterapi.ExecWindow/masterapi.ExecData + 1 {
				r.send(conn, masterapi.ExecInput, make([]byte, masterapi.ExecData))
			}
		},
		"input after its end": func(conn io.WriteCloser) {
			r.send(conn, masterapi.ExecInput, nil)
			r.send(conn, masterapi.ExecInput, []byte("x"))
		},
		"of the kind 8":       func(conn io.WriteCloser) { r.send(conn, masterapi.ExecExit, masterapi.ExecNumber(1)) },
		"the client has gone": func(conn io.WriteCloser) { _ = conn.Close() },
		"kind 77, which does": func(conn io.WriteCloser) { _, _ = conn.Write([]byte{77, 0, 0, 0, 0}) },
	} {
		conn := r.begin(masterapi.ExecRequest{Args: []string{"x"}, Stdin: true})
		send(conn)
		require.ErrorContains(t, <-why, text)
	}
}

// A server that ends kills commands, and waits for no client that reads nothing.
func TestExecEndsWithTheServer(t *testing.T) {
	r := newRig(t)
	s := serveSockets(t, r, "")
	c, err := http.NewClient(http.ClientConfig{Address: s.admin})
	require.NoError(t, err)
	flooding := make(chan struct{})
	r.fake.OnExec(func(ctx context.Context, _ string, e engine.Exec) (int, error) {
		close(flooding)
		for {
			if _, err := e.Stdout.Write(make([]byte, 1<<20)); err != nil {
				return 0, err
			}
		}
	})
	conn, err := c.Upgrade(t.Context(), nethttp.MethodPost, masterapi.PathExec("all", ""), masterapi.ExecProtocol)
	require.NoError(t, err)
	defer conn.Close()
	r.send(conn, masterapi.ExecStart, []byte(`{"args":["/bin/flood","--password=secret"]}`))
	<-flooding
	s.stop()
	text := s.log.text(t)
	require.Contains(t, text, "program=flood")
	require.NotContains(t, text, "secret")
}
