// Package storetest stops a store for a while, for tests that need several ops in one batch.
package storetest

import "github.com/baetyl/baetyl/baetyl-hub/store"

// Hold returns when the goroutine of s.Run is blocked. All ops that are queued before release is called are in the next
// batch. s must be running.
func Hold(s *store.Store) (release func()) {
	g := gate{make(chan struct{}), make(chan struct{})}
	s.Append(g)
	<-g.entered
	return func() { close(g.open) }
}

// gate is an op that blocks the store's goroutine until it is opened.
type gate struct{ entered, open chan struct{} }

// Write implements store.Op.
func (g gate) Write(*store.Tx) error {
	close(g.entered)
	<-g.open
	return nil
}

// Committed implements store.Op.
func (g gate) Committed(error) {}
