package hub_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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

// The disk runs full under the hub, with and without a reserve that it keeps: QoS 1 is refused without a false PUBACK, QoS 0 goes
// on, and when there is space again all goes on; what was acknowledged arrives.
func TestFullDisk(t *testing.T) {
	for name, storage := range map[string]string{"to the last byte": "storage: {free: 0}\n", "with a reserve": "storage: {free: 6m}\n"} {
		t.Run(name, func(t *testing.T) {
			disk := smallDisk(t)
			ballast := filepath.Join(disk, "ballast")
			require.NoError(t, os.WriteFile(ballast, make([]byte, 12<<20), 0o600))
			addrs, stop := startIn(t, filepath.Join(disk, "data"), open+storage)
			defer stop()
			url := "tcp://test:hahaha@" + addrs[0]

			c := client.NewConfigWithClientID(url, "away")
			c.CleanSession = false
			away := client.New()
			f, err := away.Connect(c)
			require.NoError(t, err)
			require.NoError(t, f.Wait(5*time.Second))
			sf, err := away.Subscribe("full", 1)
			require.NoError(t, err)
			require.NoError(t, sf.Wait(5*time.Second))
			require.NoError(t, away.Disconnect())

			live, messages := connect(t, url, "live")
			sf, err = live.Subscribe("live", 0)
			require.NoError(t, err)
			require.NoError(t, sf.Wait(5*time.Second))

			acked := map[string]bool{}
			n := 0
			publish := func(p *client.Client) error {
				n++
				text := fmt.Sprintf("%08d", n)
				f, err := p.Publish("full", append([]byte(text), make([]byte, 16<<10)...), 1, false)
				if err != nil {
					return err
				}
				if err := f.Wait(5 * time.Second); err != nil {
					return err
				}
				acked[text] = true
				return nil
			}
			p, _ := connect(t, url, "publisher")
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
			case <-time.After(5 * time.Second):
				t.Fatal("QoS 0 stands still on a full disk")
			}

			require.NoError(t, os.Remove(ballast))
			require.Eventually(t, func() bool {
				p, _ := connect(t, url, "publisher")
				defer p.Close()
				return publish(p) == nil
			}, 20*time.Second, 10*time.Millisecond, "no message is taken although there is space again")

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
			require.NoError(t, f.Wait(5*time.Second))
			for missing := len(acked); missing > 0; {
				select {
				case m := <-received:
					if text := string(m.Payload[:8]); acked[text] && !got[text] {
						got[text] = true
						missing--
					}
				case <-time.After(10 * time.Second):
					t.Fatalf("%d of %d acknowledged messages are missing", missing, len(acked))
				}
			}
			require.NoError(t, away.Disconnect())
		})
	}
}
