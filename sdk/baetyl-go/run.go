package baetyl

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/baetyl/baetyl/utils/logfile"
	"github.com/baetyl/baetyl/utils/run"
)

// Run runs a module as this process: it makes the Context, calls main and returns when main has returned nil. If main
// returns an error or panics, or the configuration is wrong, Run says so on stderr and ends the process with status 1,
// so that restart policies see the failure. SIGTERM and SIGINT ask the module to end.
func Run(main func(Context) error) {
	// Whatever reads the output may end; this is no reason to. It is not ignored, since programs inherit that.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	err := runModule(context.Background(), signals, main, logfile.LastWords{})
	signal.Stop(signals)
	if err != nil {
		os.Exit(1)
	}
}

// RunContext runs a module within a program that does other things too, such as a test: instead of a signal the end of
// ctx asks it to end, and its error or panic is returned, beside the line on stderr. The working directory and the
// environment are those of the program, as in Run.
func RunContext(ctx context.Context, main func(Context) error) error {
	return runModule(ctx, nil, main, logfile.LastWords{})
}

func runModule(
	parent context.Context,
	signals <-chan os.Signal,
	main func(Context) error,
	stderr io.Writer,
) (err error) {
	ctx, err := newContext()
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(stderr, "%sservice is stopped with panic: %v\n%s", name(ctx), p, debug.Stack())
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	if err != nil {
		fmt.Fprintf(stderr, "%sservice is stopped with error: %v\n", name(ctx), err)
		return err
	}
	defer ctx.log.Close()
	defer ctx.watch(parent, signals)()
	defer ctx.closeHubs()
	defer ctx.serveHealth()()
	ctx.log.Infof("service starting")
	defer run.GiveBack()()
	if err := main(ctx); err != nil {
		if ctx.config.Logger.Path != "" {
			ctx.log.WithError(err).Errorf("service is stopped with error")
		}
		fmt.Fprintf(stderr, "%sservice is stopped with error: %v\n", name(ctx), err)
		return err
	}
	ctx.log.Infof("service is stopped")
	return nil
}

// name is the start of a line on stderr, which the lines of several services share.
func name(c *moduleContext) string {
	if c.service == "" && c.instance == "" {
		return ""
	}
	return fmt.Sprintf("[%s][%s] ", c.service, c.instance)
}
