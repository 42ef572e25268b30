package legacy

import (
	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/record"
)

// decoder decodes values. After an error all its methods return zero values.
type decoder struct{ record.Reader }

func decode(value []byte) *decoder { return &decoder{record.Reader{Rest: value}} }

func (d *decoder) message() *record.Message {
	flags := d.Byte()
	m := &record.Message{QOS: packet.QOS(flags >> 1), Retain: flags&1 == 1}
	m.Topic = string(d.Text())
	m.Payload = append([]byte(nil), d.Text()...)
	d.Failed = d.Failed || m.QOS > 2 || m.Topic == ""
	return m
}

func (d *decoder) targets() (targets []record.Target) {
	n := d.Number()
	if n > uint64(len(d.Rest)) { // a target has three bytes or more
		d.Failed = true
		return nil
	}
	for range n {
		flags := d.Byte()
		x := record.Target{
			QOS: packet.QOS(flags >> 1), Retained: flags&1 == 1, Session: d.Number(), Position: d.Number(),
		}
		d.Failed = d.Failed || x.QOS != 1 && x.QOS != 2
		targets = append(targets, x)
	}
	return targets
}
