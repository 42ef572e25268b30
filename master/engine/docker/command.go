//go:build unix

package docker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/baetyl/baetyl/master/engine"
)

// envCommand is in the environment of a command, with a value of its own: what it starts is known by that, also when it
// has left the session and lost its parent. What has taken the variable off beside that, ends with the instance.
const envCommand = "BAETYL_COMMAND"

// markOf begins the variable of each command in a container, as a process has it.
func markOf(container string) string { return envCommand + "=" + short(container) + "." }

// endCommands ends what commands of an earlier master have left in a container.
func endCommands(container string) {
	for deadline := time.Now().Add(commandTimeout); endMarked(markOf(container)) && time.Now().Before(deadline); {
		time.Sleep(commandStep)
	}
}

const (
	commandTimeout = 10 * time.Second      // for the daemon to say how a command has ended
	commandStep    = 50 * time.Millisecond // between looks whether a command has ended whose output another one keeps open
	endedWait      = time.Second           // for the end of a container to be known after that of its commands
	maxRefusal     = 4 << 10               // bytes of the daemon's reason for not running a command
)

// Exec runs a command in the container, by the daemon, which leaves it running when its caller goes: it is killed then,
// with all that it has started, by this process.
func (i *instance) Exec(ctx context.Context, e engine.Exec) (int, error) {
	if len(e.Args) == 0 {
		return 0, errors.New("run a command: there is none")
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { // ends with Exec
		select {
		case <-i.ended:
			cancel(engine.ErrEnded)
		case <-ctx.Done():
		}
	}()
	status, err := i.exec(ctx, e)
	switch {
	case isClosed(i.ended):
		err = engine.ErrEnded
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	}
	if err != nil {
		return 0, fmt.Errorf("run %s in %s: %w", e.Args[0], i.record.Instance, i.engine.judge(ctx, err))
	}
	return status, nil
}

func (i *instance) exec(ctx context.Context, e engine.Exec) (int, error) {
	api, mark := i.engine.api, markOf(i.id)+randomID()
	o := container.ExecOptions{
		Cmd: e.Args, WorkingDir: e.Dir, Env: []string{mark},
		AttachStdin: e.Stdin != nil, AttachStdout: true, AttachStderr: true,
	}
	for k, v := range e.Env {
		o.Env = append(o.Env, k+"="+v)
	}
	if t := e.Terminal; t != nil {
		o.Tty, o.ConsoleSize = true, &[2]uint{uint(t.Size.Rows), uint(t.Size.Columns)}
	}
	created, err := api.ContainerExecCreate(ctx, i.id, o)
	if err != nil {
		return 0, err
	}
	attach := container.ExecAttachOptions{Tty: o.Tty, ConsoleSize: o.ConsoleSize}
	conn, err := api.ContainerExecAttach(ctx, created.ID, attach)
	if err != nil {
		return 0, refusal(err.Error())
	}
	defer conn.Close()
	c := &command{instance: i, id: created.ID, mark: mark, conn: conn.Conn, e: e, said: &sieve{to: e.Stdout}}
	return c.run(ctx, conn.Reader)
}

// command is one that the daemon runs.
type command struct {
	instance *instance
	id       string // at the daemon
	mark     string // in the environment of all that it starts
	conn     net.Conn
	e        engine.Exec
	pid      int              // on this host; 0: not known yet, or it has never run
	signals  []syscall.Signal // that wait until it is known, each once
	said     *sieve           // of copyOutput until that has ended
}

// run copies until the command has ended, and ends what is left of it.
func (c *command) run(ctx context.Context, from *bufio.Reader) (int, error) {
	copied := make(chan error, 1)
	go func() { copied <- c.copyOutput(from) }() // ends with the connection
	if c.e.Stdin != nil {
		go c.copyInput() // ends with the next Read of Stdin after the end
	}
	var resize <-chan engine.Size
	sized := true
	if c.e.Terminal != nil {
		resize, sized = c.e.Terminal.Resize, c.e.Terminal.Size == engine.Size{}
	}
	tick := time.NewTicker(commandStep)
	defer tick.Stop()
	for {
		select {
		case err := <-copied:
			return c.end(ctx, err)
		case <-ctx.Done():
			return c.end(ctx, context.Cause(ctx))
		case sig := <-c.e.Signals:
			if !slices.Contains(c.signals, sig) {
				c.signals = append(c.signals, sig)
			}
			c.signal(ctx)
		case size := <-resize:
			sized = c.resize(ctx, size) || sized
		case <-tick.C:
			sized = sized || c.resize(ctx, c.e.Terminal.Size) // daemons before API 1.42 take no size with the start
			c.signal(ctx)
			if c.left(ctx) {
				endMarked(c.mark) // what keeps the output open
			}
		}
	}
}

// end ends what is left, and says how the command has ended. why tells that it was not by itself.
func (c *command) end(ctx context.Context, why error) (int, error) {
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), commandTimeout)
	defer cancel()
	for {
		in, failed := c.instance.engine.api.ContainerExecInspect(bounded, c.id)
		if failed != nil {
			return 0, failed
		}
		if in.Pid != 0 {
			c.pid = in.Pid
		}
		seen := endMarked(c.mark)
		if !in.Running && !seen {
			return c.outcome(bounded, in, why)
		}
		select {
		case <-bounded.Done():
			return 0, errors.New("the command cannot be ended from here, and ends with the instance")
		case <-time.After(commandStep):
		}
	}
}

// killedStatus is the status of what has ended with its container, or by endMarked.
const killedStatus = 128 + int(syscall.SIGKILL)

func (c *command) outcome(ctx context.Context, in container.ExecInspect, why error) (int, error) {
	if why != nil {
		return killedStatus, nil
	}
	if held := string(c.said.held); strings.HasPrefix(held, refused) && (in.ExitCode == 126 || in.ExitCode == 127) {
		return 0, refusal(held)
	}
	_ = c.said.flush()               // an error means that nobody reads it any more
	if in.ExitCode == killedStatus { // what has killed it may be the end of the container, which is known a moment later
		select {
		case <-c.instance.ended:
			return 0, engine.ErrEnded
		case <-ctx.Done():
		case <-time.After(endedWait):
		}
	}
	return in.ExitCode, nil
}

// resize tells whether the terminal has that size: not before the command has begun, nor after its end.
func (c *command) resize(ctx context.Context, size engine.Size) bool {
	to := container.ResizeOptions{Height: uint(size.Rows), Width: uint(size.Columns)}
	return c.instance.engine.api.ContainerExecResize(ctx, c.id, to) == nil
}

// left tells whether the command itself has ended, as far as this host shows it.
func (c *command) left(ctx context.Context) bool {
	if c.pid == 0 {
		if in, err := c.instance.engine.api.ContainerExecInspect(ctx, c.id); err == nil {
			c.pid = in.Pid
		}
	}
	return c.pid != 0 && ended(c.pid)
}

// signal sends the signals that wait. A daemon may know the pid only after the command has written something, and its
// own program has that number until it becomes the command.
func (c *command) signal(ctx context.Context) {
	if len(c.signals) > 0 && !c.left(ctx) && c.pid != 0 {
		c.signals = slices.DeleteFunc(c.signals, func(s syscall.Signal) bool { return signalMarked(c.pid, c.mark, s) })
	}
}

func (c *command) copyInput() {
	_, err := io.Copy(c.conn, struct{ io.Reader }{c.e.Stdin})
	if err != nil {
		return
	}
	if c.e.Terminal != nil {
		_, _ = c.conn.Write([]byte{4}) // what a terminal takes for the end of the input; fails when the command has ended
		return
	}
	if w, ok := c.conn.(interface{ CloseWrite() error }); ok {
		_ = w.CloseWrite() // as above
	}
}

// copyOutput copies until the end.
func (c *command) copyOutput(from *bufio.Reader) (err error) {
	stderr := c.e.Stderr
	if stderr == nil {
		stderr = io.Discard
	}
	first, err := from.Peek(1)
	switch {
	case err != nil: // it has written nothing
		return nil
	case c.e.Terminal != nil, first[0] > byte(stdcopy.Stderr): // of some daemons a refusal has no frame
		_, err = io.Copy(c.said, struct{ io.Reader }{from})
	default:
		_, err = stdcopy.StdCopy(c.said, stderr, from)
	}
	return err
}

// refused begins what the daemon writes in place of the output of a command that it could not run.
const refused = "OCI runtime exec failed"

// sieve holds back what may be a refusal, until it is known.
type sieve struct {
	to   io.Writer // nil: nobody reads
	held []byte
	open bool
}

// Write implements io.Writer.
func (s *sieve) Write(p []byte) (int, error) {
	if s.open {
		return s.pass(p)
	}
	s.held = append(s.held, p...)
	if n := min(len(s.held), len(refused)); string(s.held[:n]) == refused[:n] && len(s.held) < maxRefusal {
		return len(p), nil
	}
	return len(p), s.flush()
}

func (s *sieve) pass(p []byte) (int, error) {
	if s.to == nil {
		return len(p), nil
	}
	return s.to.Write(p)
}

// flush passes on what is held.
func (s *sieve) flush() error {
	held := s.held
	s.open, s.held = true, nil
	if len(held) == 0 {
		return nil
	}
	_, err := s.pass(held)
	return err
}

// refusedError is the reason of the daemon for not running a command.
type refusedError struct {
	kind error // nil: another one than those of the program
	text string
}

func (e *refusedError) Error() string { return e.text }
func (e *refusedError) Unwrap() error { return e.kind }

// refusal judges what the daemon has said: it has no other word for it.
func refusal(text string) error {
	text = strings.TrimSpace(text)
	e := &refusedError{text: text}
	switch {
	case strings.Contains(text, "chdir"):
	case strings.Contains(text, "executable file not found"), strings.Contains(text, "no such file or directory"):
		e.kind = engine.ErrNoProgram
	case strings.Contains(text, "permission denied"), strings.Contains(text, "exec format error"),
		strings.Contains(text, "is a directory"):
		e.kind = engine.ErrNotExecutable
	}
	return e
}
