package record

import (
	"encoding/binary"

	"github.com/256dpi/gomqtt/packet"
)

// Reader takes values off bytes: uvarints, and texts with their length before them. After an error its methods return
// zero values. The store and its legacy reader read their own values with it.
type Reader struct {
	Rest   []byte // what is not taken yet
	Failed bool   // the bytes are damaged; the caller may set it too
}

// Number takes a uvarint.
func (r *Reader) Number() uint64 {
	if len(r.Rest) > 0 && r.Rest[0] < 0x80 {
		n := uint64(r.Rest[0])
		r.Rest = r.Rest[1:]
		return n
	}
	n, size := binary.Uvarint(r.Rest)
	if size <= 0 {
		r.Failed, r.Rest = true, nil
		return 0
	}
	r.Rest = r.Rest[size:]
	return n
}

// Byte takes one byte.
func (r *Reader) Byte() byte {
	if len(r.Rest) == 0 {
		r.Failed = true
		return 0
	}
	c := r.Rest[0]
	r.Rest = r.Rest[1:]
	return c
}

// Text takes a length and so many bytes, which are part of the bytes that are read.
func (r *Reader) Text() []byte {
	n := r.Number()
	if n > uint64(len(r.Rest)) {
		r.Failed, r.Rest = true, nil
		return nil
	}
	v := r.Rest[:n:n]
	r.Rest = r.Rest[n:]
	return v
}

// id takes a packet id, which is in two bytes.
func (r *Reader) id() packet.ID {
	if len(r.Rest) < 2 {
		r.Failed, r.Rest = true, nil
		return 0
	}
	n := binary.BigEndian.Uint16(r.Rest)
	r.Rest = r.Rest[2:]
	return packet.ID(n)
}

// Err returns ErrDamaged if anything was wrong. What is left does not matter.
func (r *Reader) Err() error {
	if r.Failed {
		return ErrDamaged
	}
	return nil
}

// end returns ErrDamaged if anything was wrong, or if bytes are left.
func (r *Reader) end() error {
	if len(r.Rest) > 0 {
		return ErrDamaged
	}
	return r.Err()
}
