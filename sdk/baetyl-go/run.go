package baetyl

import (
	"fmt"
	"io"
	"os"
	"runtime/debug"
)

// Run runs a module: it makes the Context, calls main and returns when main has returned nil. If main returns an error or
// panics, or the configuration is wrong, Run says so on stderr and ends the process with status 1, so that restart policies
// see the failure.
func Run(main func(Context) error) {
	if status := run(main, os.Stderr); status != 0 {
		os.Exit(status)
	}
}

func run(main func(Context) error, stderr io.Writer) (status int) {
	ctx, err := newContext()
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(stderr, "%sservice is stopped with panic: %v\n%s", name(ctx), p, debug.Stack())
			status = 1
		}
	}()
	if err != nil {
		fmt.Fprintf(stderr, "%sservice is stopped with error: %v\n", name(ctx), err)
		return 1
	}
	defer ctx.log.Close()
	defer ctx.listen()()
	defer ctx.part()
	ctx.log.Infof("service starting")
	if err := main(ctx); err != nil {
		if ctx.config.Logger.Path != "" {
			ctx.log.WithError(err).Errorf("service is stopped with error")
		}
		fmt.Fprintf(stderr, "%sservice is stopped with error: %v\n", name(ctx), err)
		return 1
	}
	ctx.log.Infof("service is stopped")
	return 0
}

// name is the start of a line on stderr, which the lines of several services share.
func name(c *moduleContext) string {
	if c.service == "" && c.instance == "" {
		return ""
	}
	return fmt.Sprintf("[%s][%s] ", c.service, c.instance)
}
