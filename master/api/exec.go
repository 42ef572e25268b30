package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	nethttp "net/http"
	"path"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/log"
)

// startLimit is how long a client may take to say what to run.
const startLimit = 30 * time.Second

// errClientGone is why a command is killed whose client has gone.
var errClientGone = errors.New("the client has gone")

// exec finds the instance before the connection is upgraded, so that its errors are those of other routes.
func (h *handler) exec(r *nethttp.Request, by caller) (any, error) {
	service := r.PathValue("service")
	instance, err := h.services.Running(r.Context(), service, r.URL.Query().Get(masterapi.QueryInstance))
	if err != nil {
		return nil, err
	}
	l := h.log.WithField("caller", quotable(by.name, maxQuoted)).WithField(log.KeyService, service).
		WithField(log.KeyInstance, instance.Record().Instance)
	return upgrade{func(ctx context.Context, conn http.Upgraded) { newSession(conn, l).run(ctx, instance) }}, nil
}

// upgrade is an answer that makes the connection one of masterapi.ExecProtocol.
type upgrade struct {
	run func(ctx context.Context, conn http.Upgraded)
}

func (u upgrade) serve(w nethttp.ResponseWriter, r *nethttp.Request) error {
	return http.ServeUpgrade(w, r, masterapi.ExecProtocol, u.run)
}

// session is one command of one client.
//
//	client ─► receive ─► window ─► standard input, and signals at once
//	client ◄─ send ◄──── standard output and error: the command waits for a client that is slow
type session struct {
	conn http.Upgraded
	log  log.Logger

	writing sync.Mutex // held while a frame is written
	input   window
	resize  chan engine.Size // holds the last one
	signals chan syscall.Signal
}

func newSession(conn http.Upgraded, l log.Logger) *session {
	s := &session{conn: conn, log: l, resize: make(chan engine.Size, 1), signals: make(chan syscall.Signal, 16)}
	s.input.more.L = &s.input.mu
	return s
}

// run runs the command that the client asks for, and tells how it has ended.
func (s *session) run(ctx context.Context, in engine.Instance) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	e, err := s.start()
	if err != nil {
		s.fail(err)
		return
	}
	// Arguments may hold secrets.
	l := s.log.WithField("program", quotable(path.Base(e.Args[0]), maxQuoted)).WithField("terminal", e.Terminal != nil)
	l.Infof("a command begins")
	go func() { cancel(s.receive()) }() // ends with the connection
	defer s.input.close()
	began := time.Now()
	status, err := in.Exec(ctx, e)
	l = l.WithField("ran", time.Since(began).Round(time.Millisecond).String())
	if err != nil {
		l.WithError(err).Infof("the command was not run, or not to its end")
		s.fail(err)
		return
	}
	l.WithField("status", status).Infof("the command has ended")
	_ = s.send(masterapi.ExecExit, masterapi.ExecNumber(status)) // an error means that the client has gone
}

// start reads what to run.
func (s *session) start() (e engine.Exec, err error) {
	_ = s.conn.SetReadDeadline(time.Now().Add(startLimit)) // fails as the read will
	kind, body, err := masterapi.ReadExecFrame(s.conn)
	if err == nil && kind != masterapi.ExecStart {
		err = fmt.Errorf("the first frame is of the kind %d, not %d", kind, masterapi.ExecStart)
	}
	var r masterapi.ExecRequest
	if err == nil {
		err = json.Unmarshal(body, &r)
	}
	if err == nil {
		err = r.Validate()
	}
	if err != nil {
		return e, http.Errorf(nethttp.StatusBadRequest, "bad_request", "read the command: %s", err)
	}
	_ = s.conn.SetReadDeadline(time.Time{}) // as above
	e = engine.Exec{
		Args: r.Args, Env: r.Env, Dir: r.Dir, Signals: s.signals,
		Stdout: output{s, masterapi.ExecOutput}, Stderr: output{s, masterapi.ExecErrors},
	}
	if r.Stdin {
		e.Stdin = input{s}
	}
	if t := r.Terminal; t != nil {
		e.Terminal = &engine.Terminal{Size: engine.Size(*t), Resize: s.resize}
	}
	return e, nil
}

// receive reads what the client sends until that has gone, and returns why nothing more comes.
func (s *session) receive() error {
	for {
		kind, body, err := masterapi.ReadExecFrame(s.conn)
		if err != nil {
			return fmt.Errorf("%w: %w", errClientGone, err)
		}
		switch kind {
		case masterapi.ExecInput:
			if err := s.input.add(body); err != nil {
				return err
			}
		case masterapi.ExecResize:
			select { // the last size counts
			case <-s.resize:
			default:
			}
			s.resize <- engine.Size(masterapi.ParseExecSize(body)) // there is room: nobody else sends
		case masterapi.ExecSignal:
			select {
			case s.signals <- unix.SignalNum(string(body)): // 0, which is none, for a name that does not exist
			default: // the client sends them faster than they are delivered
			}
		default:
			return fmt.Errorf("the client has sent a frame of the kind %d, which is not for it to send", kind)
		}
	}
}

func (s *session) send(kind masterapi.ExecFrame, body []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	_, err := s.conn.Write(masterapi.AppendExecFrame(nil, kind, body))
	return err
}

// fail tells the client why its command was not run to its end.
func (s *session) fail(err error) {
	e := http.ErrorOf(err, []http.Meaning{
		{Err: engine.ErrNoProgram, Status: nethttp.StatusNotFound, Code: masterapi.CodeNoProgram},
		{Err: engine.ErrNotExecutable, Status: nethttp.StatusUnprocessableEntity, Code: masterapi.CodeNotExecutable},
		{Err: engine.ErrEnded, Status: nethttp.StatusConflict, Code: masterapi.CodeEnded},
	})
	body, _ := json.Marshal(masterapi.Error{Code: e.Code, Message: quotable(e.Message, maxMessage)}) // texts: cannot fail
	_ = s.send(masterapi.ExecFailed, body)                                                           // as above
}

// output sends what the command writes.
type output struct {
	session *session
	kind    masterapi.ExecFrame
}

// Write implements io.Writer.
func (o output) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		some := p[n:min(len(p), n+masterapi.ExecData)]
		if err = o.session.send(o.kind, some); err == nil {
			n += len(some)
		}
	}
	return n, err
}

// input is what the command reads.
type input struct{ session *session }

// Read implements io.Reader.
func (i input) Read(p []byte) (int, error) {
	n, err := i.session.input.read(p)
	if n > 0 {
		_ = i.session.send(masterapi.ExecTaken, masterapi.ExecNumber(n)) // an error means that the client has gone
	}
	return n, err
}
