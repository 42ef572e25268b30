//go:build unix

package native

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/output"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/host"
	"github.com/baetyl/baetyl/utils/host/measure"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/logfile"
)

const (
	orphanGrace    = 2 * time.Second       // for SIGTERM to end what a process left in its group
	orphanInterval = 20 * time.Millisecond // between checks of the group
	killTimeout    = 5 * time.Second       // for SIGKILL to work; a process that waits for a broken device ignores it
	outputTimeout  = time.Second           // for the output, when a process outside the group still holds the pipe
)

// sandbox implements engine.Sandbox.
type sandbox struct {
	service  engine.Service
	dir      string
	readonly []string // sources that the instances cannot write to
	log      log.Logger
	output   *logfile.File
}

// Close removes the service's directory. The links in it are removed, not what they lead to.
func (s *sandbox) Close() error {
	return errors.Join(output.Close(s.output), os.RemoveAll(s.dir))
}

// Start starts the package's program.
func (s *sandbox) Start(ctx context.Context, spec engine.Spec) (engine.Instance, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	entry, err := findEntry(s.dir, s.service.Image)
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	start := func() (*exec.Cmd, error) {
		cmd := &exec.Cmd{
			Path: entry, Args: append([]string{spec.Name}, s.service.Args...),
			Dir: s.dir, Env: environ(s.dir, spec.Env),
			Stdout: w, Stderr: w,
			SysProcAttr: &syscall.SysProcAttr{Setpgid: true},
		}
		if len(s.readonly) == 0 {
			return cmd, cmd.Start()
		}
		viaShim(cmd, s.readonly)
		return cmd, startShim(cmd)
	}
	cmd, err := start()
	for tries := 0; errors.Is(err, syscall.ETXTBSY) && tries < 20; tries++ {
		// "Text file busy": a process that was forked while the file was written still has it open for a moment.
		time.Sleep(10 * time.Millisecond)
		cmd, err = start()
	}
	_ = w.Close() // the process has its own
	if err != nil {
		_ = r.Close()
		return nil, explain(entry, err)
	}
	i := &instance{
		cmd: cmd, began: time.Now(), done: make(chan struct{}),
		out: logfile.NewLines(s.output, spec.Name), file: s.output,
		meter: &measure.ProcessMeter{PID: cmd.Process.Pid},
		log:   s.log.WithField(log.KeyInstance, spec.Name).WithField(log.KeyPID, cmd.Process.Pid),
		record: engine.Record{
			Engine: masterapi.ModeNative, Service: s.service.Name, Instance: spec.Name, Handle: spec.Handle,
			Process: &masterapi.Process{ID: cmd.Process.Pid, Name: filepath.Base(entry)},
			Started: startOf(cmd.Process.Pid), Boot: bootID(),
		},
	}
	go i.wait(r)
	return i, nil
}

// environ is the environment of a process: the inherited variables of the master, and vars, which win.
func environ(dir string, vars map[string]string) []string {
	all := map[string]string{}
	for _, kv := range os.Environ() {
		if k, v, ok := strings.Cut(kv, "="); ok && inherited(k) {
			all[k] = v
		}
	}
	for k, v := range vars {
		all[k] = v
	}
	all["PWD"] = dir
	out := make([]string, 0, len(all))
	for k, v := range all {
		out = append(out, k+"="+v)
	}
	return out
}

// inherited tells which variables of the master its services get: those for paths, language and proxies. The others may
// hold secrets.
func inherited(name string) bool {
	switch strings.ToUpper(name) {
	case "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY":
		return true
	}
	switch name {
	case "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR":
		return true
	}
	return strings.HasPrefix(name, "LC_")
}

// instance implements engine.Instance: a process that leads a process group.
//
//	running ──leader ends──► group is asked to end ─► killed if it does not ─► leader reaped ─► Done
//
// The leader stays a zombie until the group is empty. Until then no other process can get its pid, and a signal to the
// group reaches no other process.
type instance struct {
	cmd    *exec.Cmd
	began  time.Time
	out    *logfile.Lines
	file   *logfile.File // of the service
	meter  *measure.ProcessMeter
	log    log.Logger
	record engine.Record

	mu       sync.Mutex // guards reaped and stopping, and signals against reaping
	reaped   bool
	stopping bool

	done chan struct{} // closed by wait
	exit engine.Exit   // written before done is closed
}

func (i *instance) Record() engine.Record { return i.record }
func (i *instance) Done() <-chan struct{} { return i.done }
func (i *instance) Exit() engine.Exit     { return i.exit }
func (i *instance) Output() []string      { return i.out.Tail() }

// Adopt finds nothing: processes end with the master that started them.
func (s *sandbox) Adopt(context.Context, engine.Spec, engine.Record) (engine.Instance, error) {
	return nil, engine.ErrGone
}

func (i *instance) Warnings() []string { return nil }

func (i *instance) Stats(context.Context) (*host.CPU, *host.Mem) { return i.meter.Get() }

// Stop ends the process group: SIGTERM, and SIGKILL when ctx ends.
func (i *instance) Stop(ctx context.Context) {
	i.mu.Lock()
	i.stopping = true
	i.mu.Unlock()
	i.signal(syscall.SIGTERM)
	select {
	case <-i.done:
		return
	case <-ctx.Done():
	}
	i.log.Warnf("instance did not end within the grace time and is killed (SIGKILL)")
	i.signal(syscall.SIGKILL)
	<-i.done
}

// signal sends sig to the whole group, unless its number may have been reused.
func (i *instance) signal(sig syscall.Signal) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !i.reaped {
		_ = syscall.Kill(-i.cmd.Process.Pid, sig) // an error means that the group has ended
	}
}

// wait waits for the end of the process. One goroutine runs it.
func (i *instance) wait(r *os.File) {
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_ = i.out.Copy(logfile.Stdout, r) // the end, or outputTimeout
	}()
	awaitEnd(i.cmd.Process.Pid)
	ran := time.Since(i.began)
	i.clearGroup()
	i.mu.Lock()
	err := i.cmd.Wait()
	i.reaped = true
	i.mu.Unlock()
	_ = r.SetReadDeadline(time.Now().Add(outputTimeout))
	<-copied
	_ = r.Close()
	output.Settle(i.file)
	if err != nil {
		err = fmt.Errorf("process exit code: %w", err)
	}
	i.exit = engine.Exit{Err: err, Ran: ran}
	close(i.done)
}

// clearGroup ends what the leader left in its group. While the instance is being stopped, Stop kills the group
// when its context ends.
func (i *instance) clearGroup() {
	pid := i.cmd.Process.Pid
	if len(groupOf(pid)) == 0 {
		return
	}
	i.signal(syscall.SIGTERM)
	deadline := time.Now().Add(orphanGrace)
	killed := time.Time{}
	for len(groupOf(pid)) > 0 {
		now := time.Now()
		i.mu.Lock()
		stopping := i.stopping
		i.mu.Unlock()
		if killed.IsZero() && !stopping && now.After(deadline) {
			killed = now
			i.signal(syscall.SIGKILL)
		}
		if !killed.IsZero() && now.Sub(killed) > killTimeout {
			i.log.Errorf("processes %v of the instance's group cannot be killed and keep running", groupOf(pid))
			return
		}
		time.Sleep(orphanInterval)
	}
}

// groupOf returns the living processes of a process group.
func groupOf(group int) (pids []int) {
	for _, pid := range processes() {
		if g, ok := groupOfLiving(pid); ok && g == group {
			pids = append(pids, pid)
		}
	}
	return pids
}
