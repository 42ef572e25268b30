//go:build unix

package keeper

import (
	"context"
	"fmt"
	"os"
	"syscall"
)

// Hello tells the keeper who its master is. It is the first call.
func (c *Client) Hello(ctx context.Context, h Hello) (State, error) {
	a, err := c.call(ctx, Request{Op: OpHello, Hello: &h})
	if err != nil {
		closeAll(a.files)
		return State{}, fmt.Errorf("greet keeper: %w", err)
	}
	s := State{Processes: a.Processes, Kept: map[string]*os.File{}, Rejected: a.Rejected, Candidate: a.Candidate}
	if len(a.Kept) != len(a.files) {
		closeAll(a.files)
		return State{}, fmt.Errorf("greet keeper: %w", errFrame)
	}
	for i, name := range a.Kept {
		s.Kept[name] = os.NewFile(uintptr(a.files[i]), name)
	}
	return s, nil
}

// Start starts a process and returns when its program runs. The error unwraps to the errno of execve. When ctx ends
// first the process may run nevertheless: the caller then signals or releases its handle, which gives the start up.
func (c *Client) Start(ctx context.Context, s Spec) (Process, error) {
	a, err := c.call(ctx, Request{Op: OpStart, Spec: &s})
	if err != nil {
		return Process{}, err
	}
	if len(a.Processes) != 1 {
		return Process{}, errFrame
	}
	return a.Processes[0], nil
}

// Signal sends sig to the process group of a process: to nobody, with syscall.ESRCH, when that has ended. A start that
// was not answered is given up, whatever the signal.
func (c *Client) Signal(handle string, sig syscall.Signal) error {
	_, err := c.call(context.Background(), Request{Op: OpSignal, Handle: handle, Signal: int(sig)})
	return err
}

// Ended returns a channel that is closed when the process has ended. It is closed already when the process is not
// known.
func (c *Client) Ended(handle string) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.processes[handle]; h != nil {
		return h.ended
	}
	none := make(chan struct{})
	close(none)
	return none
}

// End returns how a process has ended; false when it runs, or is not known.
func (c *Client) End(handle string) (End, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.processes[handle]; h != nil && h.end != nil {
		return *h.end, true
	}
	return End{}, false
}

// Tail returns the last 20 lines that a process has written, the oldest first.
func (c *Client) Tail(handle string) ([]string, error) {
	a, err := c.call(context.Background(), Request{Op: OpTail, Handle: handle})
	return a.Lines, err
}

// Release forgets a process that has ended.
func (c *Client) Release(handle string) error {
	_, err := c.call(context.Background(), Request{Op: OpRelease, Handle: handle})
	if err != nil {
		return err
	}
	c.mu.Lock()
	delete(c.processes, handle)
	c.mu.Unlock()
	return nil
}

// Keep lets the keeper hold a descriptor for the next master, under a name that replaces the one before. A nil f closes
// what is kept. The caller still owns f.
func (c *Client) Keep(name string, f *os.File) error {
	r := Request{Op: OpKeep, Handle: name}
	if f == nil {
		_, err := c.call(context.Background(), r)
		return err
	}
	raw, err := f.SyscallConn() // Fd would make a listening socket a blocking one
	if err != nil {
		return fmt.Errorf("keep %s: %w", name, err)
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { _, failed = c.call(context.Background(), r, int(fd)) }); err != nil {
		return fmt.Errorf("keep %s: %w", name, err)
	}
	return failed
}

// Alive tells that the master decides still, and how things are. After Hello it is called at least once in a minute.
func (c *Client) Alive(h Health) error { return c.simple(Request{Op: OpAlive, Health: &h}) }

// Reloaded answers EventReload, whether the new configuration is in use or was refused.
func (c *Client) Reloaded() error { return c.simple(Request{Op: OpReloaded}) }

// Stop lets the keeper stop everything, as a signal to it does: EventStop follows. why is for the log.
func (c *Client) Stop(why string) error { return c.simple(Request{Op: OpStop, Trouble: why}) }

// Leave tells that this master ends soon, leaves everything running and wants a successor.
func (c *Client) Leave(why string) error { return c.simple(Request{Op: OpLeave, Trouble: why}) }

// ErrStopping is why Try is refused when everything is being stopped: EventStop is on its way.
const ErrStopping = syscall.ECANCELED

// Try tells the same, and that the successor is the candidate of t. Error: ErrStopping.
func (c *Client) Try(t Trial) error { return c.simple(Request{Op: OpTry, Trial: &t}) }

// Ready tells that this candidate serves. It returns when the candidate is the program; an error means that it was
// rejected.
func (c *Client) Ready(ctx context.Context) error {
	_, err := c.call(ctx, Request{Op: OpReady})
	return err
}

// Stopped tells that everything has ended: the keeper ends with the master, with its status.
func (c *Client) Stopped(why string) error { return c.simple(Request{Op: OpStopped, Trouble: why}) }

func (c *Client) simple(r Request) error {
	_, err := c.call(context.Background(), r)
	return err
}
