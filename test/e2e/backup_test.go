//go:build e2e

package e2e_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// A gateway moves to new hardware: it is backed up while a client publishes and a session waits, and restored
// elsewhere. Every message that the hub had acknowledged before the backup began waits there for the session, in order.
func TestMoveToNewHardware(t *testing.T) {
	besideOthers(t)
	s := newSystem(t).withoutTimer().start()
	connect := func(s *system, id string, receive mqtt.MessageHandler) (mqtt.Client, bool) {
		t.Helper()
		o := mqtt.NewClientOptions().AddBroker("tcp://127.0.0.1:" + s.port["1883"]).SetClientID(id).SetUsername("test").
			SetPassword("hahaha").SetAutoReconnect(false).SetCleanSession(false).SetOrderMatters(true).
			SetDefaultPublishHandler(receive)
		c := mqtt.NewClient(o)
		token := c.Connect().(*mqtt.ConnectToken)
		if !token.WaitTimeout(waitLimit) || token.Error() != nil {
			t.Fatalf("connect %s: %v", id, token.Error())
		}
		t.Cleanup(func() { c.Disconnect(0) })
		return c, token.SessionPresent()
	}
	away, _ := connect(s, "away", nil)
	if token := away.Subscribe("numbers", 1, nil); !token.WaitTimeout(waitLimit) || token.Error() != nil {
		t.Fatal(token.Error())
	}
	away.Disconnect(250)

	pub, _ := connect(s, "publisher", nil)
	var mu sync.Mutex
	acked := 0
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for n := 1; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			token := pub.Publish("numbers", 1, false, strconv.Itoa(n))
			if !token.WaitTimeout(waitLimit) || token.Error() != nil {
				t.Errorf("publish %d: %v", n, token.Error())
				return
			}
			mu.Lock()
			acked = n
			mu.Unlock()
		}
	}()
	count := func() int {
		mu.Lock()
		defer mu.Unlock()
		return acked
	}
	several := func(more int) {
		t.Helper()
		from := count()
		s.eventually("messages are acknowledged", func() error {
			if n := count(); n < from+more {
				return fmt.Errorf("%d after %d", n, from)
			}
			return nil
		})
	}
	several(300)
	file := filepath.Join(t.TempDir(), "gateway.tar.gz")
	before := 0
	s.eventually("a backup", func() error {
		before = count()
		out, err := exec.Command(s.path("bin/baetyl"), "backup", file).CombinedOutput()
		switch {
		case err == nil:
			t.Logf("%s", out)
		case strings.Contains(string(out), masterapi.ErrBusy.Error()): // other services still start
			return fmt.Errorf("%w: %s", err, out)
		default:
			t.Fatalf("backup: %v\n%s", err, out)
		}
		return nil
	})
	several(100) // the hub goes on
	close(stop)
	<-done
	s.interrupt()

	other := newSystem(t)
	out, err := exec.Command(other.path("bin/baetyl"), "restore", file, "--force", "--yes").CombinedOutput()
	if err != nil {
		t.Fatalf("restore: %v\n%s", err, out)
	}
	other.port = s.port // as its configuration says
	other.start()
	var got []int
	_, present := connect(other, "away", func(_ mqtt.Client, m mqtt.Message) {
		n, _ := strconv.Atoi(string(m.Payload()))
		mu.Lock()
		defer mu.Unlock()
		got = append(got, n)
	})
	if !present {
		t.Error("the session is not there")
	}
	other.eventually("the messages are there", func() error {
		mu.Lock()
		defer mu.Unlock()
		if len(got) < before {
			return fmt.Errorf("%d of %d", len(got), before)
		}
		return nil
	})
	mu.Lock()
	defer mu.Unlock()
	for i, n := range got {
		if n != i+1 {
			t.Fatalf("message %d is %d", i+1, n)
		}
	}
	t.Logf("%d acknowledged before the backup, %d there", before, len(got))
}
