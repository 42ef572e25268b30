package hub_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/internal/requires"
)

// subscriber returns a connection that is subscribed to a filter.
func subscriber(t *testing.T, address, filter string) *packet.Stream {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	s := packet.NewStream(conn, conn)
	c := packet.NewConnect()
	c.ClientID, c.Username, c.Password = "subscriber", "test", "hahaha"
	x := &packet.Subscribe{ID: 1, Subscriptions: []packet.Subscription{{Topic: filter}}}
	for _, p := range []packet.Generic{c, x} {
		require.NoError(t, s.Write(p, false))
		_, err := s.Read()
		require.NoError(t, err)
	}
	return s
}

// next returns topic and payload of the next message.
func next(t *testing.T, s *packet.Stream) string {
	t.Helper()
	p, err := s.Read()
	require.NoError(t, err)
	m := p.(*packet.Publish).Message
	return m.Topic + "=" + string(m.Payload)
}

// A stock mosquitto bridges into the hub, in both directions over the same topics: nothing comes back to where it was
// published.
func TestMosquittoBridge(t *testing.T) {
	program := requires.Command(t, "mosquitto", "apt-get install mosquitto")
	r := run(t, open)
	port := mqtttest.FreePort(t)
	text := fmt.Sprintf(`listener %d 127.0.0.1
allow_anonymous true
connection hub
address %s
topic t/# both 1
remote_username test
remote_password hahaha
restart_timeout 1
`, port, r.Addrs()[0])
	file := filepath.Join(t.TempDir(), "mosquitto.conf")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	cmd := exec.Command(program, "-v", "-c", file)
	out := &mqtttest.Output{}
	cmd.Stdout, cmd.Stderr = out, out
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(out.String(), r.out.String())
		}
	})
	local := fmt.Sprintf("127.0.0.1:%d", port)
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", local)
		if err == nil {
			conn.Close()
		}
		return err == nil && r.Report()["subscriptions"] == 1
	}, time.Minute, 10*time.Millisecond, "the bridge subscribes")

	there, here := subscriber(t, local, "t/#"), subscriber(t, r.Addrs()[0].String(), "t/#")
	publish := func(s *packet.Stream, name, payload string) {
		require.NoError(t, s.Write(&packet.Publish{Message: packet.Message{Topic: name, Payload: []byte(payload)}}, false))
	}
	for i := range 3 {
		payload := fmt.Sprint(i)
		publish(here, "t/hub", payload)
		require.Equal(t, "t/hub="+payload, next(t, here))
		require.Equal(t, "t/hub="+payload, next(t, there)) // and nothing else before it: no echo of the last round
		publish(there, "t/mosquitto", payload)
		require.Equal(t, "t/mosquitto="+payload, next(t, there))
		require.Equal(t, "t/mosquitto="+payload, next(t, here))
	}
}
