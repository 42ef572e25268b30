package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"
)

// A segment is a file of the log:
//
//	file    header (64) · frames · anything
//	header  magic (8) · number · through · mark · mark and end of the segment before (8 each) · CRC-32C (4) · zeros
//	frame   mark (8) · length (4) · CRC-32C of mark, length and content (4) · content
//	content running time of the hub in seconds (uvarint) · records of a batch
//
// The mark is random for each use of a file: it tells the frames of this use from those of earlier ones, which are
// written over. The frames end at the first one that is not complete, or where the header of the next segment says:
// what a write that failed has left behind that place does not count.
//
// A segment that was compacted replaces those with the numbers number to through. For others both are the same.
const (
	magic      = "baetyls1"
	headerSize = 64
	headerUsed = 48
	frameHead  = 16

	// growth is the number of bytes by which a file grows at once, with zeros, so that few syncs change its size.
	growth = 128 << 10
	// chunk is the number of bytes that are read at once.
	chunk = 256 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// zeros is what files grow by.
var zeros [growth]byte

var errHeader = errors.New("its header is damaged")

// header is the beginning of a segment's file.
type header struct {
	number, through, mark uint64
	before                ending
}

// ending says where a segment ends, by the mark of its file; mark 0: not known.
type ending struct {
	mark uint64
	end  int64
}

func (h *header) append(b []byte) []byte {
	n := len(b)
	b = append(b, magic...)
	for _, v := range []uint64{h.number, h.through, h.mark, h.before.mark, uint64(h.before.end)} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b[n:], castagnoli))
	return append(b, make([]byte, headerSize-(len(b)-n))...)
}

func decodeHeader(b []byte) (h header, err error) {
	if len(b) < headerSize || string(b[:len(magic)]) != magic ||
		crc32.Checksum(b[:headerUsed], castagnoli) != binary.BigEndian.Uint32(b[headerUsed:]) {
		return header{}, errHeader
	}
	v := func(i int) uint64 { return binary.BigEndian.Uint64(b[8*i:]) }
	h = header{v(1), v(2), v(3), ending{v(4), int64(v(5))}}
	if h.through < h.number || h.before.end < 0 {
		return header{}, errHeader
	}
	return h, nil
}

func readHeader(f io.ReaderAt) (header, error) {
	b := make([]byte, headerSize)
	if _, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return header{}, err
	}
	return decodeHeader(b)
}

// appendFrame appends a frame with records.
func appendFrame(b []byte, mark uint64, at time.Duration, records []byte) []byte {
	n := len(b)
	b = binary.BigEndian.AppendUint64(b, mark)
	b = append(b, make([]byte, frameHead-8)...)
	b = binary.AppendUvarint(b, uint64(at/time.Second))
	b = append(b, records...)
	finishFrame(b[n:])
	return b
}

// finishFrame writes length and checksum into the head of a frame.
func finishFrame(frame []byte) {
	binary.BigEndian.PutUint32(frame[8:], uint32(len(frame)-frameHead))
	binary.BigEndian.PutUint32(frame[12:], frameSum(frame))
}

func frameSum(frame []byte) uint32 {
	return crc32.Update(crc32.Checksum(frame[:12], castagnoli), castagnoli, frame[frameHead:])
}

// frame is a frame that was read. data points into the buffer of the scan.
type frame struct {
	at, next int64 // where it is in the file, and what follows it
	stored   time.Duration
	data     []byte // records
}

// scan calls f for each frame of a file from a place on, until the first one that is not complete before limit, or f
// returns false. It returns where it ended. buf is memory to use, which may grow. An error is one of the disk.
func scan(r io.ReaderAt, mark uint64, from, limit int64, buf *[]byte, f func(frame) bool) (end int64, err error) {
	at, want := from, int64(chunk)
	for at+frameHead <= limit {
		n := min(want, limit-at)
		if int64(cap(*buf)) < n {
			*buf = make([]byte, n)
		}
		b := (*buf)[:n]
		got, err := r.ReadAt(b, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return at, fmt.Errorf("read: %w", err)
		}
		b = b[:got]
		start := at
		for {
			x, size, ok := decodeFrame(b[at-start:], mark)
			if !ok {
				return at, nil
			}
			if x.data == nil { // not complete in b
				if at+size > limit || got < int(n) {
					return at, nil
				}
				want = max(chunk, size)
				break
			}
			x.at, x.next = at, at+size
			at = x.next
			if !f(x) {
				return at, nil
			}
		}
	}
	return at, nil
}

// decodeFrame decodes the frame at the beginning of b. If b ends before the frame does, data is nil, and size is what
// is needed. It is not ok if it is damaged.
func decodeFrame(b []byte, mark uint64) (x frame, size int64, ok bool) {
	if len(b) < frameHead {
		return x, frameHead, true
	}
	if binary.BigEndian.Uint64(b) != mark {
		return x, 0, false
	}
	size = frameHead + int64(binary.BigEndian.Uint32(b[8:]))
	if size > int64(len(b)) {
		return x, size, true
	}
	b = b[:size:size]
	stored, n := binary.Uvarint(b[frameHead:])
	if frameSum(b) != binary.BigEndian.Uint32(b[12:]) || n <= 0 {
		return x, 0, false
	}
	x.stored = time.Duration(stored) * time.Second
	x.data = b[frameHead+n:]
	return x, size, true
}
