//go:build !unix

package file

import "errors"

// Free returns errors.ErrUnsupported on this system; a full disk then shows when a write fails.
func Free(string) (uint64, error) { return 0, errors.ErrUnsupported }

// Space returns errors.ErrUnsupported on this system.
func Space(string) (free, size uint64, err error) { return 0, 0, errors.ErrUnsupported }
