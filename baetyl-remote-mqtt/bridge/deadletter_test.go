package bridge_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-remote-mqtt/deadletter"
	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/protocol/mqtt"
)

func lines(t *testing.T, f *deadletter.File) (out []deadletter.Entry) {
	t.Helper()
	in, err := os.Open(f.Path())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	require.NoError(t, err)
	defer in.Close()
	for s := bufio.NewScanner(in); s.Scan(); {
		var e deadletter.Entry
		require.NoError(t, json.Unmarshal(s.Bytes(), &e))
		out = append(out, e)
	}
	return out
}

func closeOn(text string) func(*packet.Publish) mqtttest.Outcome {
	return func(p *packet.Publish) mqtttest.Outcome {
		if strings.Contains(string(p.Message.Payload), text) {
			return mqtttest.Close
		}
		return mqtttest.Take
	}
}

// C9: a message that the far side never takes becomes a dead letter, and those around it pass.
func TestPoison(t *testing.T) {
	near, far := mqtttest.Mosquitto(t), mqtttest.NewFake(t)
	far.Judge(closeOn("poison"))
	l := link(near.Address, far.Address, "up/#", "")
	l.Up[0].Prefix = "edge"
	p := letters(t)
	b := start(t, l, p, 3)
	b.connected(t)
	publish(t, client(t, near.Address), "up/x", 1, "a", "b", "poison", "c", "d")
	mqtttest.Until(t, "the poison is a dead letter", func() bool { return b.Stats().Up.DeadLetters == 1 })
	mqtttest.Until(
		t,
		"the others passed",
		func() bool { absent, _ := missing(far.Got(), []string{"a", "b", "c", "d"}); return len(absent) == 0 },
	)
	kept := lines(t, p)
	require.Len(t, kept, 1)
	require.Equal(t, mqtt.ErrPoison.Error(), kept[0].Reason)
	e := kept[0]
	require.Equal(
		t,
		[]string{"hub", "far", "up/x", "edge/up/x", "poison"},
		[]string{e.From, e.To, e.Topic, e.Target, string(e.Payload)},
	)
	b.stop()
	again := start(t, l, p, 3)
	again.connected(t)
	publish(t, client(t, near.Address), "up/x", 1, "e")
	mqtttest.Until(t, "the last", func() bool { return again.Stats().Up.Forwarded == 1 })
	require.Equal(t, uint64(1), again.Stats().Up.Received, "the source was told of the dead letter")
}

// A far side that closes on everything, because its disk is full for example, is not served by dead letters.
func TestPeerThatTakesNothing(t *testing.T) {
	near, far := mqtttest.Mosquitto(t), mqtttest.NewFake(t)
	far.Judge(closeOn(""))
	p := letters(t)
	b := start(t, link(near.Address, far.Address, "up", ""), p, 5)
	want := numbers(0, 30)
	b.connected(t)
	publish(t, client(t, near.Address), "up", 1, want...)
	mqtttest.Until(t, "many connections broke", func() bool { return far.Connects() > 15 })
	far.Judge(nil)
	mqtttest.Until(t, "all came", func() bool { absent, _ := missing(far.Got(), want); return len(absent) == 0 })
	require.Zero(t, b.Stats().Up.DeadLetters)
	require.Empty(t, lines(t, p))
}

// stubborn is a disk without room, for a while.
type stubborn struct {
	mu   sync.Mutex
	full bool
	got  []deadletter.Entry
	asks int
}

func (s *stubborn) Keep(e deadletter.Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asks++
	if s.full {
		return deadletter.ErrFull
	}
	s.got = append(s.got, e)
	return nil
}

func TestDeadLetterThatCanNotBeKeptIsTriedAgain(t *testing.T) {
	near, far := mqtttest.Mosquitto(t), mqtttest.NewFake(t)
	far.Judge(closeOn("poison"))
	s := &stubborn{full: true}
	b := start(t, link(near.Address, far.Address, "up", ""), s, 1)
	b.connected(t)
	publish(t, client(t, near.Address), "up", 1, "poison", "a")
	mqtttest.Until(t, "keeping it is tried", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.asks > 1 })
	require.Zero(t, b.Stats().Up.DeadLetters)
	s.mu.Lock()
	s.full = false
	s.mu.Unlock()
	mqtttest.Until(t, "it is kept at last", func() bool { return b.Stats().Up.DeadLetters == 1 })
	require.Contains(t, far.Got(), "a")
}

// A topic that strip leaves nothing of can't be published anywhere.
func TestTopicThatCanNotBe(t *testing.T) {
	near, far := mqtttest.Mosquitto(t), mqtttest.NewFake(t)
	l := link(near.Address, far.Address, "up/#", "")
	l.Up[0].Strip = "up"
	p := letters(t)
	b := start(t, l, p, 5)
	b.connected(t)
	c := client(t, near.Address)
	publish(t, c, "up", 1, "bad")
	publish(t, c, "up/x", 1, "good")
	mqtttest.Until(
		t,
		"both are dealt with",
		func() bool { return b.Stats().Up.DeadLetters == 1 && b.Stats().Up.Forwarded == 1 },
	)
	require.Contains(t, lines(t, p)[0].Reason, "topic is empty")
}
