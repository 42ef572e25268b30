package store

import (
	"bytes"
	"testing"
	"time"

	"github.com/256dpi/gomqtt/packet"
)

// FuzzDecodeRecord is internal: through the store's files, which have checksums, a damaged record never gets this
// far. No record may cause a panic, allocate more memory than its size justifies, or change when it is encoded again.
func FuzzDecodeRecord(f *testing.F) {
	f.Add(
		appendRecord(nil, time.Hour, &packet.Message{Topic: "t", Payload: []byte("m"), QOS: 2, Retain: true},
			[]Target{{1, 2, 1, true}, {1 << 60, 1 << 60, 2, false}}),
	)
	f.Add(appendRecord(nil, 0, &packet.Message{}, nil))
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0xff}, 20))
	f.Add([]byte("0\x05\x010\x010\x02000000")) // a target of quality 24
	f.Add([]byte{0, 2, 1, 't', 0, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, b []byte) {
		rec, err := decodeRecord(b, 0)
		if err != nil {
			return
		}
		if len(rec.Message.Payload)+len(rec.Message.Topic)+3*len(rec.Targets) > len(b) {
			t.Fatalf("%d bytes gave %+v", len(b), rec)
		}
		again, err := decodeRecord(appendRecord(nil, -rec.Age, &rec.Message, rec.Targets), 0)
		if err != nil || again.Message.Topic != rec.Message.Topic ||
			!bytes.Equal(again.Message.Payload, rec.Message.Payload) ||
			again.Message.QOS != rec.Message.QOS ||
			len(again.Targets) != len(rec.Targets) {
			t.Fatalf("%+v came back as %+v, %v", rec, again, err)
		}
		for i, x := range rec.Targets {
			if again.Targets[i] != x || x.QOS > 2 {
				t.Fatalf("target %+v came back as %+v", x, again.Targets[i])
			}
		}
	})
}
