package record

import (
	"encoding/binary"

	"github.com/256dpi/gomqtt/packet"
)

// Batch collects records that are written together: all of them are on the disk after a crash, or none. The zero value
// is empty.
type Batch struct {
	Data []byte // the records, one after the other: see Next
	Sync bool   // a record in it must be on stable storage before the batch counts as stored
	n    int
}

// Reset makes the batch empty and keeps its memory.
func (b *Batch) Reset() { b.Data, b.Sync, b.n = b.Data[:0], false, 0 }

// Len returns the number of records.
func (b *Batch) Len() int { return b.n }

// begin appends the head of a record and returns where the record is.
func (b *Batch) begin(k Kind) int {
	at := len(b.Data)
	b.Data = append(b.Data, byte(k), 0, 0, 0, 0)
	return at
}

// end writes the length into the head of the record at at.
func (b *Batch) end(at int, sync bool) {
	binary.BigEndian.PutUint32(b.Data[at+1:], uint32(len(b.Data)-at-headSize))
	b.Sync = b.Sync || sync
	b.n++
}

// Publish stores a publication.
func (b *Batch) Publish(p *Publication) {
	at := b.begin(KindPublish)
	var flags byte
	if p.Retain {
		flags |= flagRetain
	}
	if p.Receiver != 0 {
		flags |= flagReceiver
	}
	if p.Will != "" {
		flags |= flagWill
	}
	d := append(b.Data, flags)
	if p.Receiver != 0 {
		d = binary.AppendUvarint(d, p.Receiver)
		d = binary.BigEndian.AppendUint16(d, uint16(p.ID))
	}
	if p.Will != "" {
		d = appendText(d, p.Will)
	}
	d = binary.AppendUvarint(d, uint64(len(p.Targets)))
	for i := range p.Targets {
		t := &p.Targets[i]
		c := byte(t.QOS) << shiftQOS
		if t.Retained {
			c |= flagRetained
		}
		d = append(d, c)
		d = binary.AppendUvarint(d, t.Session)
		d = binary.AppendUvarint(d, t.Position)
	}
	b.Data = AppendMessage(d, p.Message)
	b.end(at, true)
}

// Acked stores how far a session has acknowledged its messages. state begins with a uvarint, the position of the oldest
// message that is not acknowledged: the store keeps no older one. What follows belongs to the caller. With sync it is
// on stable storage when the batch is stored.
func (b *Batch) Acked(session uint64, state []byte, sync bool) {
	at := b.begin(KindAcked)
	b.Data = append(binary.AppendUvarint(b.Data, session), state...)
	b.end(at, sync)
}

// PutSession stores client id and user of a session. Numbers are never used again.
func (b *Batch) PutSession(number uint64, client, user string) {
	at := b.begin(KindPutSession)
	b.Data = appendText(appendText(binary.AppendUvarint(b.Data, number), client), user)
	b.end(at, true)
}

// DeleteSession removes a session with all that belongs to it.
func (b *Batch) DeleteSession(number uint64) {
	at := b.begin(KindDeleteSession)
	b.Data = binary.AppendUvarint(b.Data, number)
	b.end(at, true)
}

// Used stores that a session has a connection from now on, or has none any more. The store adds the time. It need not
// be on stable storage when the batch is stored.
func (b *Batch) Used(number uint64, connected bool) {
	at := b.begin(KindUsed)
	flag := byte(0)
	if connected {
		flag = 1
	}
	b.Data = append(binary.AppendUvarint(b.Data, number), flag)
	b.end(at, false)
}

// PutFilter stores a subscription of a session.
func (b *Batch) PutFilter(session uint64, filter string, qos packet.QOS) {
	at := b.begin(KindPutFilter)
	b.Data = appendText(append(binary.AppendUvarint(b.Data, session), byte(qos)), filter)
	b.end(at, true)
}

// DeleteFilter removes a subscription of a session.
func (b *Batch) DeleteFilter(session uint64, filter string) {
	at := b.begin(KindDeleteFilter)
	b.Data = appendText(binary.AppendUvarint(b.Data, session), filter)
	b.end(at, true)
}

// DeleteReceived ends the exchange of the QoS 2 message id that a session has sent: see Publication.Receiver.
func (b *Batch) DeleteReceived(session uint64, id packet.ID) {
	at := b.begin(KindDeleteReceived)
	b.Data = binary.BigEndian.AppendUint16(binary.AppendUvarint(b.Data, session), uint16(id))
	b.end(at, true)
}

// PutWill stores the will of a connected client, so that a crash of the hub does not lose it. key is its WillKey.
func (b *Batch) PutWill(key string, m *Message) {
	at := b.begin(KindPutWill)
	b.Data = AppendMessage(appendText(b.Data, key), m)
	b.end(at, true)
}

// DeleteWill removes a will.
func (b *Batch) DeleteWill(key string) {
	at := b.begin(KindDeleteWill)
	b.Data = appendText(b.Data, key)
	b.end(at, true)
}
