//go:build !linux

package backup

import (
	"syscall"
	"time"
)

// changed is not known here; the time of the content counts.
func changed(*syscall.Stat_t) time.Time { return time.Time{} }
