package store

// needs counts, for each stored message, the sessions that still need it. Messages are numbered in order and are mostly
// deleted in that order, so the counts are kept in pages, which are freed when empty: about eight bytes per message.
type needs struct{ pages map[uint64]*page }

const pageBits = 12

type page struct {
	count [1 << pageBits]uint32
	size  [1 << pageBits]uint32 // bytes of key and value
	live  int                   // counts that are not zero
}

func (n *needs) set(seq uint64, count uint32) {
	p := n.pages[seq>>pageBits]
	if p == nil {
		p = &page{}
		n.pages[seq>>pageBits] = p
	}
	c := &p.count[seq&(1<<pageBits-1)]
	switch {
	case *c == 0 && count > 0:
		p.live++
	case *c > 0 && count == 0:
		p.live--
	}
	*c = count
	if p.live == 0 {
		delete(n.pages, seq>>pageBits)
	}
}

func (n *needs) get(seq uint64) uint32 {
	p := n.pages[seq>>pageBits]
	if p == nil {
		return 0
	}
	return p.count[seq&(1<<pageBits-1)]
}

// setSize sets the size in bytes of a message whose count is not 0.
func (n *needs) setSize(seq uint64, bytes int) {
	if p := n.pages[seq>>pageBits]; p != nil {
		p.size[seq&(1<<pageBits-1)] = uint32(bytes)
	}
}

func (n *needs) sizeOf(seq uint64) int64 {
	if p := n.pages[seq>>pageBits]; p != nil {
		return int64(p.size[seq&(1<<pageBits-1)])
	}
	return 0
}
