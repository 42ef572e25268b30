package keeper

import "golang.org/x/sys/unix"

// monotonic is the monotonic clock in microseconds, as systemd compares it with its own. 0: it cannot be read.
func monotonic() int64 {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) != nil {
		return 0
	}
	return t.Nano() / 1000
}
