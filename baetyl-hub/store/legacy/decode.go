package legacy

import (
	"encoding/binary"
	"errors"

	"github.com/256dpi/gomqtt/packet"

	"github.com/baetyl/baetyl/baetyl-hub/record"
)

var errRecord = errors.New("record is damaged")

// decoder decodes values. After an error all its methods return zero values.
type decoder struct {
	b   []byte
	err error
}

func (d *decoder) number() uint64 {
	n, size := binary.Uvarint(d.b)
	if size <= 0 {
		d.err, d.b = errRecord, nil
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) byte() byte {
	if len(d.b) == 0 {
		d.err = errRecord
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *decoder) bytes() []byte {
	n := d.number()
	if n > uint64(len(d.b)) {
		d.err, d.b = errRecord, nil
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) message() *record.Message {
	flags := d.byte()
	m := &record.Message{QOS: packet.QOS(flags >> 1), Retain: flags&1 == 1}
	m.Topic = string(d.bytes())
	m.Payload = append([]byte(nil), d.bytes()...)
	if m.QOS > 2 || m.Topic == "" {
		d.err = errRecord
	}
	return m
}

func (d *decoder) targets() (targets []record.Target) {
	n := d.number()
	if n > uint64(len(d.b)) { // a target has three bytes or more
		d.err = errRecord
		return nil
	}
	for range n {
		flags := d.byte()
		x := record.Target{
			QOS: packet.QOS(flags >> 1), Retained: flags&1 == 1, Session: d.number(), Position: d.number(),
		}
		if x.QOS != 1 && x.QOS != 2 {
			d.err = errRecord
		}
		targets = append(targets, x)
	}
	return targets
}
