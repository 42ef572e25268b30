package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	nethttp "net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/baetyl/baetyl/cmd/out"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/logfile"
)

// Statuses of exec beside those of all commands: it ends with that of its command, as a shell does.
const (
	statusNotExecutable = 126
	statusNoProgram     = 127
)

// execFlags are those of exec.
type execFlags struct {
	instance        string
	stdin, terminal bool
	noTerminal      bool
	env             []string
	dir             string
}

func execCommand(e *env) *cobra.Command {
	var f execFlags
	c := &cobra.Command{
		Use:   "exec SERVICE [flags] -- COMMAND [ARGUMENT...]",
		Short: "Run a command in a service",
		Long: `Run a command in a running instance of a service: as its user, in its folder, with its environment, its view
of the files and its limits. The command gets a terminal where you have one. Its exit status is that of this program:
128 and the number of a signal that ended it, 126 when it cannot be run, 127 when it is not there. Status 1 may also
say that it was not run to its end, with a message.

When it ends, or this program does, nothing that it has started is left. Without a terminal the signals INT, TERM, HUP,
QUIT, USR1 and USR2 go to the command; the third of them kills it.`,
		Example: "  baetyl exec hub -- sh\n  baetyl exec reader -- env\n" +
			"  baetyl exec reader --instance reader.i1 -e LANG=C -- ls -l /tmp\n" +
			"  baetyl exec -i reader -- sh -c 'cat >settings.json' <settings.json",
		Args: func(_ *cobra.Command, args []string) error {
			switch len(args) {
			case 0:
				return errors.New("name a service, and a command behind --")
			case 1:
				return errors.New("name a command behind --")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error { return e.exec(c.Context(), f, args[0], args[1:]) },
	}
	c.Flags().StringVar(&f.instance, "instance", "", "instance to run it in (default: the first one that runs)")
	c.Flags().BoolVarP(&f.stdin, "stdin", "i", false, "give it standard input also without a terminal")
	c.Flags().BoolVarP(&f.terminal, "tty", "t", false, "give it a terminal also where this program has none")
	c.Flags().BoolVarP(&f.noTerminal, "no-tty", "T", false, "give it no terminal")
	c.Flags().StringArrayVarP(&f.env, "env", "e", nil, "variable NAME=VALUE beside those of the service; may be repeated")
	c.Flags().StringVar(&f.dir, "dir", "", "working directory of the command, absolute (default: that of the service)")
	c.MarkFlagsMutuallyExclusive("tty", "no-tty")
	return c
}

// request is the command as the master wants it, and whether a person sits at this terminal.
func (f execFlags) request(e *env, args []string) (r masterapi.ExecRequest, screen *screen, err error) {
	r = masterapi.ExecRequest{Args: args, Dir: f.dir, Stdin: f.stdin, Env: map[string]string{}}
	for _, kv := range f.env {
		k, v, ok := strings.Cut(kv, "=")
		if !ok {
			return r, nil, misused("-e %q: write NAME=VALUE", kv)
		}
		r.Env[k] = v
	}
	in, isFile := e.Stdin.(*os.File)
	if isFile && out.IsTerminal(in) && (f.terminal || e.Out.Terminal() != nil && !f.noTerminal) {
		screen = newScreen(in)
		r.Stdin = true
	}
	if screen != nil || f.terminal {
		r.Terminal = &masterapi.ExecSize{Rows: 24, Columns: 80}
		if _, given := r.Env["TERM"]; !given {
			r.Env["TERM"] = os.Getenv("TERM")
		}
	}
	if screen != nil {
		*r.Terminal = screen.size()
	}
	if err := r.Validate(); err != nil {
		return r, nil, misused("%w", err)
	}
	return r, screen, nil
}

// exec runs a command and returns its status as a failure.
func (e *env) exec(ctx context.Context, f execFlags, service string, args []string) error {
	r, screen, err := f.request(e, args)
	if err != nil {
		return err
	}
	return e.ask(ctx, func(ctx context.Context, c *http.Client) error {
		conn, err := c.Upgrade(ctx, nethttp.MethodPost, masterapi.PathExec(service, f.instance), masterapi.ExecProtocol)
		if err != nil {
			return err
		}
		defer conn.Close()
		return runSession(e, r, screen, conn)
	})
}

// runSession speaks with the master until the command has ended.
func runSession(e *env, r masterapi.ExecRequest, screen *screen, conn io.ReadWriteCloser) error {
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	s := &execSession{conn: conn, stdout: e.Out, stderr: e.Stderr, credit: make(chan int, 1)}
	if _, ok := e.Stderr.(logfile.LastWords); ok { // which would leave out what a slow reader does not take
		s.stderr = os.Stderr
	}
	if err := s.send(masterapi.ExecStart, body); err != nil {
		return err
	}
	stop, err := s.listen(screen)
	if err != nil {
		return err
	}
	defer stop()
	if r.Stdin {
		go s.copyInput(e.Stdin) // ends with the next read after the end
	}
	return s.receive()
}

// outcome is what the last frame says.
func outcome(kind masterapi.ExecFrame, body []byte) error {
	if kind == masterapi.ExecExit {
		if status := masterapi.ParseExecNumber(body); status != 0 {
			return failure{errors.New(""), status & 0xff}
		}
		return nil
	}
	var said masterapi.Error
	if err := json.Unmarshal(body, &said); err != nil {
		return fmt.Errorf("decode why the command was not run: %w", err)
	}
	status := statusFailed
	switch said.Code {
	case masterapi.CodeNoProgram:
		status = statusNoProgram
	case masterapi.CodeNotExecutable:
		status = statusNotExecutable
	}
	return failure{errors.New(said.Message), status}
}
