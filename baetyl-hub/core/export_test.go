package core

// Waiting tells how many publications and other changes the next batches have, and whether one is being stored.
func (c *Core) Waiting() (ops int, storing bool) {
	ops = len(c.batch.ops)
	for _, b := range c.full {
		ops += len(b.ops)
	}
	return ops, c.writing != nil
}
