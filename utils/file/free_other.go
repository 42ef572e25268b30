//go:build !unix

package file

import "errors"

// Free can't be asked here; a full disk then shows when a write fails.
func Free(string) (uint64, error) { return 0, errors.ErrUnsupported }
