package record_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/256dpi/gomqtt/packet"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/record"
)

// again decodes all records of data and makes a batch of them.
func again(data []byte) (*record.Batch, error) {
	b := &record.Batch{}
	for {
		k, body, rest, err := record.Next(data)
		if err != nil {
			return nil, err
		}
		if k == 0 && body == nil {
			return b, nil
		}
		if err := add(b, k, body); err != nil {
			return nil, err
		}
		data = rest
	}
}

func add(b *record.Batch, k record.Kind, body []byte) error {
	switch k {
	case record.KindPublish:
		p, err := record.DecodePublish(body)
		if err != nil {
			return err
		}
		m, err := p.Message()
		if err != nil {
			return err
		}
		x := &record.Publication{Message: m, Retain: p.Retain, Receiver: p.Receiver, ID: p.ID, Will: string(p.Will)}
		targets := p.Targets()
		for t, ok := targets.Next(); ok; t, ok = targets.Next() {
			x.Targets = append(x.Targets, t)
		}
		b.Publish(x)
	case record.KindAcked:
		session, _, state, err := record.DecodeAcked(body)
		if err != nil {
			return err
		}
		b.Acked(session, state, false)
	case record.KindPutSession:
		number, client, user, err := record.DecodePutSession(body)
		if err != nil {
			return err
		}
		b.PutSession(number, client, user)
	case record.KindDeleteSession:
		number, err := record.DecodeDeleteSession(body)
		if err != nil {
			return err
		}
		b.DeleteSession(number)
	case record.KindUsed:
		number, connected, err := record.DecodeUsed(body)
		if err != nil {
			return err
		}
		b.Used(number, connected)
	case record.KindPutFilter:
		session, filter, qos, err := record.DecodePutFilter(body)
		if err != nil {
			return err
		}
		b.PutFilter(session, string(filter), qos)
	case record.KindDeleteFilter:
		session, filter, err := record.DecodeDeleteFilter(body)
		if err != nil {
			return err
		}
		b.DeleteFilter(session, string(filter))
	case record.KindDeleteReceived:
		session, id, err := record.DecodeDeleteReceived(body)
		if err != nil {
			return err
		}
		b.DeleteReceived(session, id)
	case record.KindPutWill:
		client, message, err := record.DecodePutWill(body)
		if err != nil {
			return err
		}
		m, err := record.DecodeMessage(message)
		if err != nil {
			return err
		}
		b.PutWill(string(client), m)
	case record.KindDeleteWill:
		client, err := record.DecodeDeleteWill(body)
		if err != nil {
			return err
		}
		b.DeleteWill(string(client))
	default:
		return record.ErrDamaged
	}
	return nil
}

// sample has a record of each kind.
func sample() *record.Batch {
	b := &record.Batch{}
	m := &record.Message{Topic: "a/b", Payload: []byte("payload"), Properties: []byte{1, 2}, Owner: "u", QOS: 2,
		Retain: true}
	b.PutSession(1, "client", "user")
	b.Used(1, true)
	b.Used(1<<40, false)
	b.PutFilter(1, "a/#", 2)
	b.Publish(&record.Publication{Message: m, Retain: true, Receiver: 1, ID: 7, Will: "client", Targets: []record.Target{
		{Session: 1, Position: 1 << 40, QOS: 2, Retained: true}, {Session: 300, Position: 5, QOS: 1}}})
	b.Publish(&record.Publication{Message: &record.Message{}})
	b.Acked(1, []byte{5, 1, 2}, true)
	b.DeleteReceived(1, 7)
	b.PutWill("client", m)
	b.DeleteWill("client")
	b.DeleteFilter(1, "a/#")
	b.DeleteSession(1)
	return b
}

func TestRoundTrip(t *testing.T) {
	b := sample()
	require.Equal(t, 12, b.Len())
	require.True(t, b.Sync)
	got, err := again(b.Data)
	require.NoError(t, err)
	require.Equal(t, b.Data, got.Data)
	b.Reset()
	require.Zero(t, b.Len())
	require.Empty(t, b.Data)
	require.False(t, b.Sync)
}

func TestSync(t *testing.T) {
	var b record.Batch
	b.Acked(1, []byte{0}, false)
	require.False(t, b.Sync)
	b.Acked(1, []byte{0}, true)
	b.Acked(1, []byte{0}, false)
	require.True(t, b.Sync)
}

func TestPublished(t *testing.T) {
	var b record.Batch
	m := &record.Message{Topic: "t", Payload: []byte("p"), QOS: packet.QOSExactlyOnce}
	b.Publish(&record.Publication{Message: m, Targets: []record.Target{
		{Session: 1, Position: 4, QOS: 1}, {Session: 2, Position: 9, QOS: 2, Retained: true}}})
	k, body, rest, err := record.Next(b.Data)
	require.NoError(t, err)
	require.Equal(t, record.KindPublish, k)
	require.Empty(t, rest)
	p, err := record.DecodePublish(body)
	require.NoError(t, err)
	require.Equal(t, 2, p.Len())
	x, ok := p.Find(2, 9)
	require.True(t, ok)
	require.Equal(t, record.Target{Session: 2, Position: 9, QOS: 2, Retained: true}, x)
	_, ok = p.Find(2, 10)
	require.False(t, ok)
	_, ok = p.Find(3, 0)
	require.False(t, ok)
	got, err := p.Message()
	require.NoError(t, err)
	require.Equal(t, m, got)
}

// A retained message that a hub before this one has stored has no owner.
func TestMessageOfEarlierVersion(t *testing.T) {
	m, err := record.DecodeMessage([]byte("\x03\x03a/bpayload"))
	require.NoError(t, err)
	require.Equal(t, &record.Message{Topic: "a/b", Payload: []byte("payload"), QOS: 1, Retain: true}, m)
	_, err = record.DecodeMessage([]byte("\x13\x03a/b\x00payload")) // an owner without a name
	require.ErrorIs(t, err, record.ErrDamaged)
}

// No bytes may cause a panic, and what is decoded does not change when it is encoded again.
func FuzzRecords(f *testing.F) {
	f.Add(sample().Data)
	f.Add([]byte{})
	f.Add([]byte{'m', 0, 0, 0, 2, 0, 0xff})
	f.Add(bytes.Repeat([]byte{0xff}, 20))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := again(data)
		if err != nil {
			return
		}
		c, err := again(b.Data)
		if err != nil || !bytes.Equal(b.Data, c.Data) {
			t.Fatalf("%x became %x: %v", b.Data, c.Data, err)
		}
	})
}

func BenchmarkPublish(b *testing.B) {
	var batch record.Batch
	p := &record.Publication{
		Message: &record.Message{Topic: "sensors/1/temperature", Payload: make([]byte, 100), QOS: 1},
		Targets: []record.Target{{Session: 1, Position: 1 << 20, QOS: 1}},
	}
	b.ReportAllocs()
	for b.Loop() {
		if batch.Len() == 1000 {
			batch.Reset()
		}
		batch.Publish(p)
	}
}

// A will's key has its client and its user; one of an older hub has the client alone.
func FuzzWillKey(f *testing.F) {
	f.Add("a", "u")
	f.Add("\x001", "a\x00b")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, client, user string) {
		_, _ = record.SplitWillKey(client)
		if client == "" || strings.LastIndex(client, "\x00") > 0 {
			return
		}
		c, u := record.SplitWillKey(record.WillKey(client, user))
		require.Equal(t, [2]string{client, user}, [2]string{c, u})
		c, u = record.SplitWillKey(client)
		require.Equal(t, [2]string{client, ""}, [2]string{c, u})
	})
}
