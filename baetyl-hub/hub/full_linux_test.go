package hub_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/client"
	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/requires"
)

// smallDisk mounts an ext4 file system of 32 MiB.
func smallDisk(t *testing.T) string {
	requires.Command(t, "mkfs.ext4", "apt-get install e2fsprogs")
	if os.Getuid() != 0 {
		requires.Missing(t, "root", "mounting a small disk needs it")
	}
	image, dir := filepath.Join(t.TempDir(), "disk"), t.TempDir()
	f, err := os.Create(image)
	require.NoError(t, err)
	require.NoError(t, f.Truncate(32<<20))
	require.NoError(t, f.Close())
	out, err := exec.Command("mkfs.ext4", "-q", image).CombinedOutput()
	require.NoError(t, err, string(out))
	if out, err := exec.Command("mount", "-o", "loop", image, dir).CombinedOutput(); err != nil {
		requires.Missing(t, "a loop device", string(out))
	}
	t.Cleanup(func() {
		out, err := exec.Command("umount", dir).CombinedOutput()
		require.NoError(t, err, string(out))
	})
	return dir
}

// publisher is a connection without gomqtt's client, which has a data race when it publishes right after a reconnect.
func publisher(t *testing.T, address string) *packet.Stream {
	conn, err := net.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	s := packet.NewStream(conn, conn)
	c := packet.NewConnect()
	c.ClientID, c.Username, c.Password = "publisher", "test", "hahaha"
	require.NoError(t, s.Write(c, false))
	ack, err := s.Read()
	require.NoError(t, err)
	require.Equal(t, packet.ConnectionAccepted, ack.(*packet.Connack).ReturnCode)
	return s
}

// The hub starts on a disk without a free byte: it serves what needs no disk, and all that it had is there.
func TestStartOnAFullDisk(t *testing.T) {
	disk := smallDisk(t)
	dir := filepath.Join(disk, "data")
	more := strings.Replace(open, "hahaha", "p", 1) +
		"- {username: second, password: p, permissions: [{action: pub, permit: ['#']}]}\nstorage: {free: 1m}\n"
	addrs, stop := startIn(t, dir, more)
	c, _ := dial(t, addrs[0], "test", "away", false)
	c.sub(1, "kept")
	c.conn.Close()
	p, _ := dial(t, addrs[0], "test", "p", true)
	p.pub("kept", 10<<10, false)
	stop()
	ballast, err := os.Create(filepath.Join(disk, "ballast"))
	require.NoError(t, err)
	defer ballast.Close()
	for range 3 {
		for size := 1 << 20; size > 0; {
			if _, err := ballast.Write(make([]byte, size)); err != nil {
				size /= 2
			}
		}
		addrs, stop = startIn(t, dir, more)
		c, code := dial(t, addrs[0], "test", "live", true)
		require.Zero(t, code)
		require.Equal(t, []packet.QOS{0}, c.sub(0, "live"))
		live := packet.NewPublish()
		live.Message.Topic = "live"
		require.NoError(t, c.Write(live, false))
		x, err := c.Read()
		require.NoError(t, err)
		require.Equal(t, packet.PUBLISH, x.Type())
		away, code := dial(t, addrs[0], "test", "away", false)
		require.Zero(t, code)
		x, err = away.Read()
		require.NoError(t, err)
		require.Len(t, x.(*packet.Publish).Message.Payload, 10<<10)
		live.ID, live.Message = 1, packet.Message{Topic: "kept", QOS: 1}
		require.NoError(t, c.Write(live, false))
		_, err = c.Read()
		require.Error(t, err, "what could not be stored is acknowledged")
		stop()
	}
}

// The disk gets full, with and without storage.free: the hub refuses QoS 1 messages and sends no PUBACK for them, and
// QoS 0 messages are delivered. When there is space again, QoS 1 works, and all acknowledged messages arrive.
func TestFullDisk(t *testing.T) {
	for name, storage := range map[string]string{
		"to the last byte": "storage: {free: 0}\n",
		"with a reserve":   "storage: {free: 6m}\n",
	} {
		t.Run(name, func(t *testing.T) {
			disk := smallDisk(t)
			ballast := filepath.Join(disk, "ballast")
			require.NoError(t, os.WriteFile(ballast, make([]byte, 12<<20), 0o600))
			addrs, stop := startIn(t, filepath.Join(disk, "data"), open+storage+"limits: {principal: {queued: {disk: 1t}}}\n")
			defer stop()
			url := "tcp://test:hahaha@" + addrs[0]

			c := client.NewConfigWithClientID(url, "away")
			c.CleanSession = false
			away := client.New()
			f, err := away.Connect(c)
			require.NoError(t, err)
			require.NoError(t, f.Wait(time.Minute))
			sf, err := away.Subscribe("full", 1)
			require.NoError(t, err)
			require.NoError(t, sf.Wait(time.Minute))
			require.NoError(t, away.Disconnect())

			live, messages := connect(t, url, "live")
			sf, err = live.Subscribe("live", 0)
			require.NoError(t, err)
			require.NoError(t, sf.Wait(time.Minute))

			acked := map[string]bool{}
			n := 0
			publish := func(p *packet.Stream) error {
				n++
				text := fmt.Sprintf("%08d", n)
				m := packet.NewPublish()
				m.ID = packet.ID(n)
				m.Message = packet.Message{Topic: "full", Payload: append([]byte(text), make([]byte, 16<<10)...), QOS: 1}
				if err := p.Write(m, false); err != nil {
					return err
				}
				ack, err := p.Read()
				if err != nil {
					return err
				}
				require.Equal(t, m.ID, ack.(*packet.Puback).ID)
				acked[text] = true
				return nil
			}
			p := publisher(t, addrs[0])
			for err = nil; err == nil; err = publish(p) {
				require.Less(t, n, 10000, "the disk never ran full")
			}
			require.Greater(t, len(acked), 100)

			// QoS 0 needs no disk.
			other, _ := connect(t, url, "other")
			_, err = other.Publish("live", []byte("x"), 0, false)
			require.NoError(t, err)
			select {
			case <-messages:
			case <-time.After(time.Minute):
				t.Fatal("QoS 0 messages are not delivered on a full disk")
			}

			require.NoError(t, os.Remove(ballast))
			require.Eventually(t, func() bool {
				return publish(publisher(t, addrs[0])) == nil
			}, time.Minute, 10*time.Millisecond, "no message is taken although there is space again")

			got := map[string]bool{}
			received := make(chan *packet.Message, 10000)
			away = client.New()
			away.Callback = func(m *packet.Message, err error) error {
				if err == nil {
					received <- m
				}
				return nil
			}
			f, err = away.Connect(c)
			require.NoError(t, err)
			require.NoError(t, f.Wait(time.Minute))
			for missing := len(acked); missing > 0; {
				select {
				case m := <-received:
					if text := string(m.Payload[:8]); acked[text] && !got[text] {
						got[text] = true
						missing--
					}
				case <-time.After(time.Minute):
					t.Fatalf("%d of %d acknowledged messages are missing", missing, len(acked))
				}
			}
			require.NoError(t, away.Disconnect())
		})
	}
}
