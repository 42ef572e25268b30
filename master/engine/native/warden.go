//go:build unix

package native

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/native/launch"
)

// wardenTimeout is how long a warden may take to end its command, once it was told to. It gives up itself before.
const wardenTimeout = killTimeout + 2*time.Second

// warden runs one to its end. order is what it has to do, joined the namespaces of the instance; over is called when it
// has ended, and before the output is read to its end.
func (i *instance) warden(
	ctx context.Context, e engine.Exec, order []byte, joined []*os.File, over func(),
) (int, error) {
	io, err := openStdio(e)
	if err != nil {
		return 0, err
	}
	defer io.close()
	said, control, wait, err := startWarden(io.theirs, order, joined)
	if err != nil {
		return 0, err
	}
	defer control.Close()
	io.begin()
	ended := make(chan struct{})
	var result launch.Result
	go func() { // ends with the warden
		defer close(ended)
		defer said.Close()
		result, err = launch.ReadResult(said)
		wait()
	}()
	resize := (<-chan engine.Size)(nil)
	if e.Terminal != nil {
		resize = e.Terminal.Resize
	}
	var late <-chan time.Time
	wanted := ctx.Done()
	for {
		select {
		case <-ended:
			status, err := outcome(ctx, result, err)
			over()
			io.finish()
			return status, err
		case <-wanted:
			wanted, late = nil, time.After(wardenTimeout)
			_ = control.Close() // tells it
		case <-late:
			return 0, fmt.Errorf("%w; the command cannot be ended, and ends with the instance", context.Cause(ctx))
		case sig := <-e.Signals:
			if sig > 0 && sig < 128 {
				_, _ = control.Write([]byte{byte(sig)}) // an error means that it has ended
			}
		case size := <-resize:
			io.resize(size)
		}
	}
}

// outcome is what Exec returns.
func outcome(ctx context.Context, r launch.Result, err error) (int, error) {
	switch {
	case err != nil && ctx.Err() == nil:
		return 0, err
	case ctx.Err() != nil:
		return 0, context.Cause(ctx)
	case r.Failed == "":
		return r.Status, nil
	case r.Errno == syscall.ENOENT, r.Errno == syscall.ENOTDIR:
		return 0, fmt.Errorf("%w: %s", engine.ErrNoProgram, r.Failed)
	case r.Errno != 0:
		return 0, fmt.Errorf("%w: %s", engine.ErrNotExecutable, r.Failed)
	}
	return 0, errors.New(r.Failed)
}

// startWarden starts one. said is what it says, control is heard by it.
func startWarden(stdio [3]*os.File, order []byte, joined []*os.File) (said, control *os.File, wait func(), err error) {
	var ours, theirs [3]*os.File
	for n := range ours {
		r, w, err := os.Pipe()
		if err != nil {
			closeFiles(slices.Concat(ours[:n], theirs[:n]))
			return nil, nil, nil, err
		}
		if ours[n], theirs[n] = w, r; n == 1 {
			ours[n], theirs[n] = r, w
		}
	}
	defer closeFiles(theirs[:])
	cmd := &exec.Cmd{
		Path: selfExe(), Args: []string{"baetyl", launch.WardenArg}, Dir: "/", Env: []string{},
		Stdin: stdio[0], Stdout: stdio[1], Stderr: stdio[2],
		ExtraFiles:  append(theirs[:], joined...),
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if err := cmd.Start(); err != nil {
		closeFiles(ours[:])
		return nil, nil, nil, fmt.Errorf("start the warden of the command: %w", err)
	}
	go func() { // ends with the warden
		_, _ = ours[0].Write(order) // fails when it has ended, which it says
		_ = ours[0].Close()
	}()
	return ours[1], ours[2], func() { _ = cmd.Wait() }, nil // what it has said counts, not its status
}
