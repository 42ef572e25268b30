//go:build unix

package keeper

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/baetyl/baetyl/utils/logfile"
)

// console is where the keeper was started: its own lines and those of the master. Nobody waits for it.
type console struct{ out, err *logfile.Writer }

// consoleBuffer is how many bytes wait for a console that nobody reads. Then the oldest line goes.
const consoleBuffer = 256 << 10

func newConsole() *console {
	lost := func(at time.Time, l logfile.Lost) []byte { return line(at, "warning", l.String()) }
	return &console{
		out: logfile.NewWriter(os.Stdout, consoleBuffer, lost), err: logfile.NewWriter(os.Stderr, consoleBuffer, lost),
	}
}

// log writes a line of the keeper itself.
func (c *console) log(level, format string, args ...any) {
	_, _ = c.err.Write(line(time.Now(), level, fmt.Sprintf(format, args...)))
}

// line is as those of utils/log.
func line(at time.Time, level, text string) []byte {
	return fmt.Appendf(nil, "time=%q level=%s msg=%q baetyl=keeper\n", at.Format(logfile.Stamp), level, text)
}

// flush waits until the console has taken what there is, at most d.
func (c *console) flush(d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	_ = c.err.Flush(ctx)
	_ = c.out.Flush(ctx)
}
