package backup

import (
	"syscall"
	"time"
)

// changed is when the file, or what is known of it, has changed.
func changed(st *syscall.Stat_t) time.Time {
	return time.Unix(int64(st.Ctim.Sec), int64(st.Ctim.Nsec)) //nolint:unconvert // 32 bits on some processors
}
