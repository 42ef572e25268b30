package manager

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/protocol/function"
	"github.com/baetyl/baetyl/protocol/mqtt"
	rpc "github.com/baetyl/baetyl/sdk/baetyl-go/function"
)

// foreign is a runtime made with function.proto alone: it has no pipe. With "secret" in the name of its service it has
// the one line that asks for the secret, with "socket" the one that takes a unix socket.
func foreign() {
	address := os.Getenv("BAETYL_SERVICE_INSTANCE_ADDRESS")
	network := "tcp"
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
	}
	l, err := net.Listen(network, address)
	if err != nil {
		panic(err)
	}
	var opts []grpc.ServerOption
	if strings.Contains(os.Getenv("BAETYL_SERVICE_NAME"), "secret") {
		opts = append(opts, grpc.UnaryInterceptor(func(
			ctx context.Context, in any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler,
		) (any, error) {
			given := strings.Join(metadata.ValueFromIncomingContext(ctx, "baetyl-instance-secret"), "")
			if given != os.Getenv("BAETYL_SERVICE_INSTANCE_SECRET") {
				return nil, status.Error(codes.Unauthenticated, "only the function manager may call this instance")
			}
			return next(ctx, in)
		}))
		// A gRPC server answers a service that it does not have before it asks an interceptor.
		opts = append(opts, grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error {
			return status.Error(codes.Unauthenticated, "only the function manager may call this instance")
		}))
	}
	s := grpc.NewServer(opts...)
	function.RegisterFunctionServer(s, foreignServer{})
	s.Serve(l)
}

type foreignServer struct {
	function.UnimplementedFunctionServer
}

func (foreignServer) Call(ctx context.Context, m *rpc.Message) (*rpc.Message, error) {
	out, err := handler(ctx, m)
	if err != nil {
		return nil, status.Error(codes.Unknown, "Exception calling application: "+err.Error())
	}
	return &rpc.Message{Payload: out}, nil
}

// Runtimes of others are called over gRPC, with or without the line that protects them. The log says once of a function
// that its channel is not protected.
func TestForeignRuntimes(t *testing.T) {
	hub := startHub(t).address
	for service, warnings := range map[string]int{"foreign": 1, "foreign-secret": 0, "foreign-socket": 0} {
		t.Run(service, func(t *testing.T) {
			m := start(t, hub, strings.Replace(fmt.Sprintf(simple, 2, "1m"), "service: svc", "service: "+service, 1))
			for range 2 {
				m.publish("in", 1, "wait go")
			}
			mqtttest.Until(t, "two instances", func() bool { return len(m.living()) == 2 })
			write(t, filepath.Join(m.master.dir, "go"), "")
			m.await("out", 2)
			require.Equal(t, warnings, strings.Count(m.stderr.String(), "is not protected"), m.stderr.String())
		})
	}
}

const ordered = `
rules:
  - {clientid: r1, subscribe: {topic: in, qos: 1}, function: {name: f}, publish: {topic: out, qos: 1}}
functions:
  - {name: f, service: svc, instance: {max: 1, concurrency: 16}}
`

// Several calls at once in one instance: a slow one does not keep the others from being handled, and the results keep
// their order.
func TestCallsAtOnce(t *testing.T) {
	m := start(t, startHub(t).address, ordered)
	const n = 40
	m.publish("in", 1, "wait go")
	for i := range n {
		m.publish("in", 1, fmt.Sprintf("touch f%d", i))
	}
	exists := func(i int) bool {
		_, err := os.Stat(filepath.Join(m.master.dir, fmt.Sprint("f", i)))
		return err == nil
	}
	mqtttest.Until(t, "fifteen are handled beside the slow one", func() bool { return exists(14) })
	require.Empty(t, m.on("out"), "their results wait for that of the slow one")
	write(t, filepath.Join(m.master.dir, "go"), "")
	for i, got := range m.await("out", n+1)[1:] {
		require.Equal(t, fmt.Sprintf("touch f%d", i), got["in"])
	}
	require.Equal(t, []string{"svc.f.1"}, m.started())
}

// A message that ends its instance fails the other calls there once. Then each is tried again with an instance for
// itself, and only the message that ends its instance fails.
func TestPoisonAmongOthers(t *testing.T) {
	m := start(t, startHub(t).address, ordered)
	for i := range 5 {
		m.publish("in", 1, fmt.Sprintf("wait go %d", i))
	}
	m.publish("in", 1, "crash")
	mqtttest.Until(t, "the instance is started again", func() bool { return len(m.started()) > 1 })
	for i := range 5 {
		write(t, filepath.Join(m.master.dir, fmt.Sprint("go ", i)), "")
	}
	got := m.await("out", 6)
	for i := range 5 {
		require.Equal(t, fmt.Sprintf("wait go %d", i), got[i]["in"])
	}
	require.Contains(t, got[5]["errorMessage"], "Unavailable")
}

// 0 → 10 → 0 instances: each message has exactly one result.
func TestScale(t *testing.T) {
	m := start(t, startHub(t).address, fmt.Sprintf(simple, 10, "300ms"))
	require.Empty(t, m.living())
	for range 10 {
		m.publish("in", 1, "wait go")
	}
	mqtttest.Until(t, "ten instances", func() bool { return len(m.living()) == 10 })
	const n = 500
	for i := range n {
		m.publish("in", 1, fmt.Sprint("m ", i))
	}
	write(t, filepath.Join(m.master.dir, "go"), "")
	m.await("out", n+10)
	mqtttest.Until(t, "no instance is left", func() bool { return len(m.living()) == 0 })
	require.LessOrEqual(t, m.most, 10)
	seen := map[any]int{}
	for _, g := range m.on("out") {
		seen[g["in"]]++
	}
	for i := range n {
		require.Equal(t, 1, seen[fmt.Sprint("m ", i)], "message %d", i)
	}
	require.Equal(t, 10, seen["wait go"])
}

// kill -9 of instances, of the manager and of the hub, again and again, while messages come: each gets a result, and no
// instance of a killed manager stays.
func TestKills(t *testing.T) {
	t.Run("mosquitto", func(t *testing.T) { kills(t, mqtttest.Mosquitto(t).Address, nil) })
	t.Run("hub", func(t *testing.T) {
		h := startHub(t)
		kills(t, h.address, func() { h.kill(); h.start() })
	})
}

func kills(t *testing.T, broker string, restart func()) {
	m := start(t, broker, `
rules:
  - {clientid: r1, subscribe: {topic: in, qos: 1}, function: {name: f}, publish: {topic: out, qos: 1}, retry: {max: 10}}
functions:
  - {name: f, service: svc, instance: {min: 2, max: 3}}
`)
	mqtttest.Until(t, "min instances from the start", func() bool { return len(m.living()) == 2 })
	rounds := 8
	if v := os.Getenv("FUNCTION_KILLS"); v != "" {
		var err error
		rounds, err = strconv.Atoi(v)
		require.NoError(t, err)
	}
	n := rounds * 50
	sent := make(chan error, 1)
	go func() {
		for i := range n {
			message := mqtt.Message{Topic: "in", QOS: 1, Payload: []byte(fmt.Sprint("m ", i))}
			if err := m.out.PublishWait(context.Background(), message); err != nil {
				sent <- err
				return
			}
		}
		close(sent)
	}()
	killed := map[string]int{}
	for round := 1; round <= rounds; round++ {
		mqtttest.Until(t, "some results", func() bool { return m.count("out") >= round*40 })
		switch all := m.living(); {
		case round%4 == 3:
			killed["manager"]++
			m.killManager()
			m.run()
		case round%4 == 0 && restart != nil:
			killed["hub"]++
			restart()
		case len(all) > 0:
			killed["instance"]++
			m.kill(all[0])
		}
	}
	require.NoError(t, <-sent)
	seen := func() map[any]int {
		out := map[any]int{}
		for _, g := range m.on("out") {
			require.NotContains(t, g, "errorMessage")
			out[g["in"]]++
		}
		return out
	}
	mqtttest.Until(t, "a result of every message", func() bool { return len(seen()) == n })
	again := m.count("out") - n
	t.Logf("killed %v; of %d messages %d have a result, %d results came twice or more", killed, n, len(seen()), again)
	require.NoError(t, m.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, <-m.ended)
	require.Empty(t, m.living(), "instances that no manager owns")
}
