package hub_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/mqtttest"
)

// envModule makes the test binary the hub as a program, with the etc/baetyl/service.yml of its working directory.
const envModule = "HUB_TEST_MODULE"

// A hub whose stderr nobody reads goes on, says all in its log file, and ends when it is asked to.
func TestConsoleThatNobodyReads(t *testing.T) {
	dir := t.TempDir()
	address := fmt.Sprintf("127.0.0.1:%d", mqtttest.FreePort(t))
	file := filepath.Join(dir, "etc/baetyl/service.yml")
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	text := strings.ReplaceAll(open, "tcp://127.0.0.1:0", "tcp://"+address)
	require.NoError(t, os.WriteFile(file, []byte(text+"\nlogger: {level: debug, path: hub.log}\n"), 0o600))

	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	cmd := exec.Command(os.Args[0])
	cmd.Dir, cmd.Env, cmd.Stderr = dir, append(os.Environ(), envModule+"=1"), w
	require.NoError(t, cmd.Start())
	require.NoError(t, w.Close())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer cmd.Process.Kill()

	// A connection each: the log has some lines about it. 64 KiB fill the pipe.
	logged := func() int64 {
		info, err := os.Stat(filepath.Join(dir, "hub.log"))
		if err != nil {
			return 0 // not there yet
		}
		return info.Size()
	}
	client := func() error {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(time.Minute))
		s := packet.NewStream(conn, conn)
		connect := packet.NewConnect()
		connect.Username, connect.Password, connect.CleanSession = "test", "hahaha", true
		if err := s.Write(connect, false); err != nil {
			return err
		}
		if _, err := s.Read(); err != nil {
			return err
		}
		publish := packet.NewPublish()
		publish.ID, publish.Message = 1, packet.Message{Topic: "t", QOS: 1, Payload: []byte("x")}
		if err := s.Write(publish, false); err != nil {
			return err
		}
		_, err = s.Read()
		return err
	}
	mqtttest.Until(t, "hub serves", func() bool { return client() == nil })
	deadline := time.Now().Add(60 * time.Second)
	for n := 0; logged() < 300<<10; n++ {
		require.NoError(t, client(), "client %d, %d bytes in the log", n, logged())
		require.True(t, time.Now().Before(deadline), "%d bytes in the log", logged())
	}
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	select {
	case err := <-ended:
		require.NoError(t, err)
	case <-time.After(time.Minute):
		t.Fatal("the hub does not end")
	}
	data, err := os.ReadFile(filepath.Join(dir, "hub.log"))
	require.NoError(t, err)
	require.Contains(t, string(data), "service is stopped")
}
