package record

// Len returns the number of targets.
func (p *Published) Len() int { return int(p.targets) }
