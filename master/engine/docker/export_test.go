//go:build unix

package docker

import "context"

// EndUnknown is endUnknown for the tests of a real daemon.
func (e *Engine) EndUnknown(ctx context.Context) { e.endUnknown(ctx) }
