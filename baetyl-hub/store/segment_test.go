package store

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"
)

// These tests are internal: a damaged frame is passed over without a trace that is worth a test from outside.

func framesOf(mark uint64, sizes ...int) (b []byte, ends []int) {
	for i, n := range sizes {
		b = appendFrame(b, mark, time.Duration(i)*time.Second, bytes.Repeat([]byte{byte(i)}, n))
		ends = append(ends, len(b))
	}
	return b, ends
}

// All frames are found, whatever their sizes are to the bytes that are read at once.
func TestScan(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 30 {
		var sizes []int
		for range 1 + rnd.IntN(30) {
			n := rnd.IntN(200)
			if rnd.IntN(4) == 0 {
				n = chunk/2 + rnd.IntN(chunk)
			}
			sizes = append(sizes, n)
		}
		b, ends := framesOf(7, sizes...)
		for _, rest := range [][]byte{nil, make([]byte, 100), b[:min(len(b), 40)]} {
			whole := append(bytes.Clone(b), rest...)
			var buf []byte
			i := 0
			end, err := scan(bytes.NewReader(whole), 7, 0, int64(len(b)), &buf, func(x frame) bool {
				if x.stored != time.Duration(i)*time.Second || len(x.data) != sizes[i] || int(x.next) != ends[i] {
					t.Fatalf("frame %d: %+v", i, x)
				}
				i++
				return true
			})
			if err != nil || int(end) != len(b) || i != len(sizes) {
				t.Fatalf("ended at %d of %d after %d frames: %v", end, len(b), i, err)
			}
		}
	}
}

func FuzzScan(f *testing.F) {
	b, _ := framesOf(7, 10, 0, 300)
	f.Add(b)
	f.Add(b[:len(b)-1])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var buf []byte
		last := int64(0)
		end, err := scan(bytes.NewReader(b), 7, 0, int64(len(b)), &buf, func(x frame) bool {
			if x.at != last || x.next <= x.at || x.next > int64(len(b)) {
				t.Fatalf("frame from %d to %d after %d", x.at, x.next, last)
			}
			last = x.next
			return true
		})
		if err != nil || end != last {
			t.Fatalf("ended at %d, not %d: %v", end, last, err)
		}
		if next, ok := passed(bytes.NewReader(b), 7, end, int64(len(b))); ok &&
			(next <= end || binary.BigEndian.Uint64(b[next:]) != 7) {
			t.Fatalf("no mark at %d", next)
		}
	})
}

func FuzzHeader(f *testing.F) {
	h := header{1, 2, 3, ending{4, 5}}
	f.Add(h.append(nil))
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := decodeHeader(b)
		if err != nil {
			return
		}
		if again, err := decodeHeader(h.append(nil)); err != nil || again != h {
			t.Fatalf("%+v came back as %+v, %v", h, again, err)
		}
	})
}

// No value may cause a panic or a span that leads nowhere.
func FuzzValues(f *testing.F) {
	f.Add((&span{first: 1, last: 2, at: 64, count: 2}).value())
	f.Add(ackedValue(&session{tail: 4, acked: []byte{3, 1}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p span
		if p.load(b) == nil && p.live(p.first+1) > p.count {
			t.Fatalf("%+v", p)
		}
		s := &session{}
		if s.load(b) == nil && s.tail < s.head {
			t.Fatalf("%+v", s)
		}
		_ = (&segment{}).load(b)
		_ = (&common{}).load(b)
		_, _, _ = decodeSession(b)
	})
}
