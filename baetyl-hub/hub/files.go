package hub

import (
	"math"
	"syscall"

	"github.com/baetyl/baetyl/utils/log"
)

// ownFiles is how many descriptors the hub needs besides those of connections: listeners, the store and its readers,
// metrics, the log, adminConns.
const ownFiles = 64

// connectionsMax raises the soft limit of descriptors to the hard one, and returns how many connections fit: wanted
// (connection.max), or fewer, which is said.
func connectionsMax(wanted int, l log.Logger) int {
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		l.WithError(err).Warnf("the limit of open files is unknown: connection.max may be more than it allows")
		return wanted
	}
	if files.Cur < files.Max {
		soft := files.Cur
		files.Cur = files.Max
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
			files.Cur = soft
		}
	}
	limit := math.MaxInt32
	if files.Cur < math.MaxInt32 {
		limit = int(files.Cur)
	}
	fit := min(wanted, max(1, limit-ownFiles))
	if fit < wanted {
		l.Warnf("connection.max is %d, but the limit of open files is %d (ulimit -n, LimitNOFILE): taking %d connections at "+
			"most; raise the limit or lower connection.max", wanted, limit, fit)
	}
	return fit
}
