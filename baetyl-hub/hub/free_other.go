//go:build !unix

package hub

import "errors"

// freeSpace can't be asked here; the store then refuses messages only when a write fails.
func freeSpace(string) (uint64, error) { return 0, errors.ErrUnsupported }
