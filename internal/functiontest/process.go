//go:build unix

// Package functiontest runs function runtimes for tests: it builds their package as an installation does, starts the
// package's entry as a process, as the native engine does, and calls it by gRPC, as the function manager does.
//
//	Package(t, "python36") ─► package dir ─► Start(t, Options) ─► Runtime ─► Call, Stop
//	                                                 Suite(t, Target): what every runtime must do
//
// It promises that nothing of a test is left: processes end with their test. It knows nothing of any language; a
// Target brings its functions along.
package functiontest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/protocol/function"
	"github.com/baetyl/baetyl/protocol/masterapi"
	rpc "github.com/baetyl/baetyl/sdk/baetyl-go/function"
	"github.com/baetyl/baetyl/utils/conf"
)

// deadline is how long a test waits for what must happen; a busy machine with the race detector is slow.
const deadline = 60 * time.Second

// Options say how to start a runtime.
type Options struct {
	Entry  string            // program, the entry of a package
	Files  map[string]string // files of the service directory by path; etc/baetyl/service.yml is the configuration
	Env    []string          // further environment, KEY=value; a later one wins
	Dir    string            // service directory; empty: a new one
	NoAddr bool              // without BAETYL_SERVICE_INSTANCE_ADDRESS: the configuration has server.address
	TLS    credentials.TransportCredentials
	Pipe   bool   // over the pipe instead of gRPC
	Secret string // of the instance; the pipe is of version 2 then
	Addr   string // where it listens, unix:<path> for example; empty: a free port
}

// Runtime is a running instance.
type Runtime struct {
	Addr   string
	Dir    string
	PID    int
	Client function.FunctionClient

	cmd    *exec.Cmd
	out    *mqtttest.Output
	exited chan struct{} // closed once code is set
	code   int
}

// Config is the path of the configuration file in a service directory.
const Config = "etc/baetyl/service.yml"

// Start starts an instance and waits until its port is open. It is killed at the end of the test.
func Start(t testing.TB, o Options) *Runtime {
	t.Helper()
	r := launch(t, o)
	if o.Pipe {
		r.dialPipe(t, o.Secret)
		return r
	}
	creds := o.TLS
	if creds == nil {
		creds = insecure.NewCredentials()
	}
	r.dial(t, creds)
	r.wait(t, "its port "+r.Addr+" to open", func() bool {
		select {
		case <-r.exited:
			t.Fatalf("the runtime ended with status %d instead of serving:\n%s", r.code, r.Output())
		default:
		}
		c, err := net.DialTimeout("tcp", r.Addr, time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return r
}

// dial makes Client a new connection. It takes messages of up to 64 MB: the limits to test are the runtime's.
func (r *Runtime) dial(t testing.TB, creds credentials.TransportCredentials) {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+r.Addr, grpc.WithTransportCredentials(creds),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20), grpc.MaxCallSendMsgSize(64<<20)))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	r.Client = function.NewFunctionClient(conn)
}

// dialPipe makes Client one over the pipe, with the same limits.
func (r *Runtime) dialPipe(t testing.TB, secret string) {
	t.Helper()
	cfg := rpc.ClientConfig{Address: r.Addr, Timeout: deadline, Pipe: true, Secret: conf.Secret(secret)}
	cfg.Message.Length.Max = 4 << 30 // more than 32 bits hold
	c, err := rpc.NewClient(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		select {
		case <-r.exited:
			cancel()
		case <-ctx.Done():
		}
	}()
	require.NoError(t, c.Connect(ctx), "output:\n%s", r.Output())
	require.Positive(t, c.Concurrent(), "it speaks gRPC, not the pipe")
	r.Client = pipeClient{c}
}

type pipeClient struct{ *rpc.Client }

func (c pipeClient) Call(ctx context.Context, m *function.FunctionMessage,
	_ ...grpc.CallOption) (*function.FunctionMessage, error) {
	return c.Client.Call(ctx, m)
}

// Fail starts an instance that is to end on its own; returns its exit status and what it wrote.
func Fail(t testing.TB, o Options) (int, string) {
	t.Helper()
	r := launch(t, o)
	return r.Wait(t), r.Output()
}

func launch(t testing.TB, o Options) *Runtime {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	Write(t, o.Dir, o.Files)
	if o.Addr == "" {
		o.Addr = FreeAddr(t)
	}
	r := &Runtime{Addr: o.Addr, Dir: o.Dir, out: &mqtttest.Output{}, exited: make(chan struct{})}
	r.cmd = exec.Command(o.Entry)
	r.cmd.Dir = o.Dir
	r.cmd.Env = append(Environment(), "BAETYL_SERVICE_INSTANCE_NAME=test.instance.1")
	if o.NoAddr {
		r.Write(t, Config, bytes.ReplaceAll(r.Read(t, Config), []byte("ADDRESS"), []byte(r.Addr)))
	} else {
		r.cmd.Env = append(r.cmd.Env, "BAETYL_SERVICE_INSTANCE_ADDRESS="+r.Addr)
	}
	if o.Pipe {
		r.cmd.Env = append(r.cmd.Env, masterapi.EnvInstancePipe+"=1")
	}
	if o.Secret != "" {
		r.cmd.Env = append(r.cmd.Env, masterapi.EnvInstanceSecret+"="+o.Secret)
	}
	r.cmd.Env = append(r.cmd.Env, o.Env...)
	r.cmd.Stdout, r.cmd.Stderr = r.out, r.out
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	// A runtime may leave children that keep its output open; they are killed below.
	r.cmd.WaitDelay = 5 * time.Second
	require.NoError(t, r.cmd.Start())
	r.PID = r.cmd.Process.Pid
	go func() {
		err := r.cmd.Wait()
		r.code = r.cmd.ProcessState.ExitCode()
		if errors.Is(err, exec.ErrWaitDelay) {
			fmt.Fprintln(r.out, "functiontest: a child of the runtime outlived it")
		}
		close(r.exited)
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-r.PID, syscall.SIGKILL)
		<-r.exited
		if t.Failed() {
			t.Logf("output of the runtime:\n%s", r.Output())
		}
	})
	return r
}

// Call calls the function name with payload and returns the payload of the answer.
func (r *Runtime) Call(t testing.TB, name, payload string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	m, err := r.Client.Call(ctx,
		&function.FunctionMessage{FunctionName: name, FunctionInvokeID: "id", Topic: "t", Payload: []byte(payload)})
	return string(m.GetPayload()), err
}

// MustCall is Call without an error.
func (r *Runtime) MustCall(t testing.TB, name, payload string) string {
	t.Helper()
	answer, err := r.Call(t, name, payload)
	require.NoError(t, err)
	return answer
}

// UserError calls the function name, which must fail as user code does; returns the detail.
func (r *Runtime) UserError(t testing.TB, name, payload string) string {
	t.Helper()
	_, err := r.Call(t, name, payload)
	require.Equal(t, codes.Unknown, status.Code(err), "%v", err)
	return status.Convert(err).Message()
}

// Signal sends a signal to the process itself, not to its group.
func (r *Runtime) Signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	require.NoError(t, r.cmd.Process.Signal(s))
}

// Wait waits until the process has ended; returns its exit status, -1 for a signal.
func (r *Runtime) Wait(t testing.TB) int {
	t.Helper()
	select {
	case <-r.exited:
	case <-time.After(deadline):
		t.Fatalf("the runtime did not end within %s; its output:\n%s", deadline, r.Output())
	}
	return r.code
}

// Output returns what the process has written so far to stdout and stderr.
func (r *Runtime) Output() string { return r.out.String() }

// WaitOutput waits until the output contains text.
func (r *Runtime) WaitOutput(t testing.TB, text string) {
	t.Helper()
	r.wait(t, fmt.Sprintf("%q in its output", text),
		func() bool { return bytes.Contains([]byte(r.Output()), []byte(text)) })
}

// Read returns a file of the service directory, nil when it is not there.
func (r *Runtime) Read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(r.Dir, name))
	if !errors.Is(err, os.ErrNotExist) {
		require.NoError(t, err)
	}
	return b
}

// Write writes a file of the service directory.
func (r *Runtime) Write(t testing.TB, name string, content []byte) {
	t.Helper()
	Write(t, r.Dir, map[string]string{name: string(content)})
}

func (r *Runtime) wait(t testing.TB, what string, done func() bool) {
	t.Helper()
	Poll(t, what, done, r.Output)
}

// Poll waits until done returns true; what and state() say what was missing when it did not.
func Poll(t testing.TB, what string, done func() bool, state func() string) {
	t.Helper()
	for end := time.Now().Add(deadline); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %s for %s; got:\n%s", deadline, what, state())
		}
	}
}

// Environment returns what a service gets of the environment of its master.
func Environment() []string {
	var env []string
	for _, name := range []string{"PATH", "HOME", "LANG", "TMPDIR"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// FreeAddr returns an address that was free a moment ago.
func FreeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// Write writes files by their path under dir.
func Write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
}
