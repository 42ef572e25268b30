package cmd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// mostSignals is how many a command gets before it is killed.
const mostSignals = 3

// execSession is the client's side of one command.
type execSession struct {
	conn           io.ReadWriteCloser
	stdout, stderr io.Writer

	writing sync.Mutex // held while a frame is written
	credit  chan int   // bytes that the master has taken, added up; one goroutine takes and one adds
}

func (s *execSession) send(kind masterapi.ExecFrame, body []byte) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	_, err := s.conn.Write(masterapi.AppendExecFrame(nil, kind, body))
	return err
}

// receive writes what comes until the command has ended.
func (s *execSession) receive() error {
	for {
		kind, body, err := masterapi.ReadExecFrame(s.conn)
		if err != nil {
			return fmt.Errorf("the master has gone, and the command with it: %w", noEOF(err))
		}
		switch kind {
		case masterapi.ExecOutput:
			_, err = s.stdout.Write(body)
		case masterapi.ExecErrors:
			_, err = s.stderr.Write(body)
		case masterapi.ExecTaken:
			n := masterapi.ParseExecNumber(body)
			select {
			case before := <-s.credit:
				n += before
			default:
			}
			s.credit <- n // there is room: nobody else adds
		case masterapi.ExecExit, masterapi.ExecFailed:
			return outcome(kind, body)
		}
		if err != nil { // the command ends with the connection
			return unwritten(err)
		}
	}
}

// unwritten is the failure to write the output here. It does not wrap err, which would be taken for an error of the
// connection. Where nobody reads, it is the one that a program without a handler of SIGPIPE has.
func unwritten(err error) error {
	if errors.Is(err, syscall.EPIPE) {
		return failure{errors.New(""), 128 + int(syscall.SIGPIPE)}
	}
	return fmt.Errorf("write the output of the command: %v", err) //nolint:errorlint // see above
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// copyInput sends the input as fast as the command takes it.
func (s *execSession) copyInput(from io.Reader) {
	room := masterapi.ExecWindow
	buf := make([]byte, masterapi.ExecData)
	for {
		for room == 0 {
			room += <-s.credit
		}
		n, err := from.Read(buf[:min(room, len(buf))])
		if n > 0 {
			room -= n
			if s.send(masterapi.ExecInput, buf[:n]) != nil {
				return // receive says why
			}
		}
		if err != nil {
			_ = s.send(masterapi.ExecInput, nil) // as above
			return
		}
	}
}

// passed are the signals that go to a command without a terminal.
var passed = []os.Signal{
	syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2,
}

// listen passes signals and the size of the screen on until stop is called, which also makes the terminal what it was.
// screen is nil without one.
func (s *execSession) listen(screen *screen) (stop func(), err error) {
	signal.Ignore(syscall.SIGPIPE) // a write says it, and the terminal is made what it was
	caught := make(chan os.Signal, 16)
	signal.Notify(caught, passed...)
	if screen != nil {
		if err := screen.raw(); err != nil {
			return nil, err
		}
		signal.Notify(caught, syscall.SIGWINCH, syscall.SIGTSTP, syscall.SIGCONT)
		_ = s.send(masterapi.ExecResize, screen.size().Body()) // it may have changed meanwhile; receive says why it fails
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		count := 0
		for {
			select {
			case <-done:
				return
			case sig := <-caught:
				if isOneOf(sig, passed) {
					count++
				}
				if count == mostSignals || sig == syscall.SIGHUP && screen != nil {
					_ = s.conn.Close() // kills the command
				}
				s.handle(sig.(syscall.Signal), screen)
			}
		}
	}()
	return func() {
		close(done)
		<-ended
		signal.Stop(caught)
		signal.Reset(syscall.SIGPIPE)
		if screen != nil {
			screen.restore()
		}
	}, nil
}

func isOneOf(sig os.Signal, list []os.Signal) bool {
	for _, s := range list {
		if s == sig {
			return true
		}
	}
	return false
}

func (s *execSession) handle(sig syscall.Signal, screen *screen) {
	switch sig {
	case syscall.SIGWINCH:
		_ = s.send(masterapi.ExecResize, screen.size().Body()) // receive says why it fails, here and below
	case syscall.SIGTSTP: // from somebody else: the terminal passes ^Z on
		screen.restore()
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP) // which cannot fail
	case syscall.SIGCONT:
		_ = screen.raw() // fails in the background, where nothing is read either
		_ = s.send(masterapi.ExecResize, screen.size().Body())
	default:
		_ = s.send(masterapi.ExecSignal, []byte(unix.SignalName(sig)))
	}
}
