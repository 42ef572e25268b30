package sim

// Cut ends the power: the process ends, and chance says what is left of that which was not durable.
func (d *Disk) Cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.end()
	for _, c := range d.pending[:d.some(len(d.pending))] {
		c.Apply()
	}
	d.pending = nil
	d.size = 0
	d.restore(d.root, d.rnd.IntN(4))
}

// some returns 0, n or a number between them.
func (d *Disk) some(n int) int {
	switch d.rnd.IntN(3) {
	case 0:
		return 0
	case 1:
		return n
	}
	return d.rnd.IntN(n + 1)
}

// restore makes a folder or a file what the power cut leaves of it.
func (d *Disk) restore(n *node, way int) {
	if n.mode.IsDir() {
		n.live = map[string]*node{}
		for _, name := range sorted(n.durable) {
			n.live[name] = n.durable[name]
			d.restore(n.durable[name], way)
		}
		return
	}
	for _, e := range n.dirty {
		for _, part := range d.survive(e, way) {
			n.safe = part.apply(n.safe)
		}
	}
	n.dirty = nil
	n.data = append([]byte(nil), n.safe...)
	d.size += int64(len(n.data))
}

// The ways of a power cut to treat what was written.
const (
	wayNone = iota // all of it is lost
	wayAll         // nothing is lost
)

// survive returns what is left of a write.
func (d *Disk) survive(e edit, way int) []edit {
	switch {
	case way == wayNone:
		return nil
	case way == wayAll, e.data == nil:
		return []edit{e}
	}
	switch d.rnd.IntN(3) {
	case 0:
		return nil
	case 1:
		return []edit{e}
	}
	var left []edit
	for at := e.at; at < e.at+int64(len(e.data)); {
		end := min(at-at%sector+sector, e.at+int64(len(e.data)))
		if d.rnd.IntN(2) == 0 {
			left = append(left, edit{at, e.data[at-e.at : end-e.at]})
		}
		at = end
	}
	return left
}
