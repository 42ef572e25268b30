//go:build unix && !linux

package keeper

// monotonic is for systemd, which is on Linux alone.
func monotonic() int64 { return 0 }
