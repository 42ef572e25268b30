package masterapi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// ExecProtocol is what RouteExec upgrades a connection to: frames in both directions.
//
//	client ─► ExecStart ─► ExecInput … (an empty one is its end), ExecResize, ExecSignal
//	server ─► ExecOutput, ExecErrors, ExecTaken … ─► ExecExit or ExecFailed
//
// A frame is a byte that says its kind, the length of the rest in four bytes (big-endian), and the rest. The client
// sends no more input than ExecWindow bytes beyond what ExecTaken has acknowledged, so that a command that reads
// nothing keeps no signal back. When either side goes, the command is killed with all that it has started.
const ExecProtocol = "baetyl-exec/1"

// ExecFrame is the kind of a frame.
type ExecFrame byte

// The kinds of frames.
const (
	ExecStart  ExecFrame = 1 // ExecRequest as JSON; the first frame, and the only one of its kind
	ExecInput  ExecFrame = 2 // bytes for standard input
	ExecResize ExecFrame = 3 // rows and columns, two bytes each
	ExecSignal ExecFrame = 4 // name of a signal for the process group of the command: SIGINT
	ExecTaken  ExecFrame = 5 // how many bytes of input have been taken since the last one, four bytes
	ExecOutput ExecFrame = 6 // bytes of standard output, or of the terminal
	ExecErrors ExecFrame = 7 // bytes of standard error
	ExecExit   ExecFrame = 8 // exit status of the command, four bytes; 128 and the number of a signal
	ExecFailed ExecFrame = 9 // Error as JSON: the command was not run, or was not run to its end
)

// Limits of frames.
const (
	ExecWindow   = 256 << 10 // bytes of input on the way
	ExecData     = 32 << 10  // bytes of input or output in one frame
	maxExecStart = 1 << 20
	maxExecText  = 64 << 10
)

// Codes of an ExecFailed beside those of other routes.
const (
	CodeNoProgram     = "no_program"     // the program is not there; a shell has the status 127
	CodeNotExecutable = "not_executable" // it cannot be run; a shell has the status 126
	CodeEnded         = "ended"          // the instance has ended, and the command with it
)

// ExecRequest is a command.
type ExecRequest struct {
	Args     []string          `json:"args"`               // program and arguments
	Env      map[string]string `json:"env,omitempty"`      // beside the environment of the instance
	Dir      string            `json:"dir,omitempty"`      // absolute; empty: that of the instance
	Stdin    bool              `json:"stdin,omitempty"`    // there is input
	Terminal *ExecSize         `json:"terminal,omitempty"` // nil: pipes
}

// ExecSize is that of a terminal, in characters; 0: not known.
type ExecSize struct {
	Rows    uint16 `json:"rows"`
	Columns uint16 `json:"columns"`
}

// Validate says what is wrong with r.
func (r ExecRequest) Validate() error {
	zero := func(text string) bool { return strings.ContainsRune(text, 0) }
	if len(r.Args) == 0 || r.Args[0] == "" {
		return errors.New("args: name a program")
	}
	for n, a := range r.Args {
		if zero(a) {
			return fmt.Errorf("args[%d]: has a zero byte, which no program takes", n)
		}
	}
	for k, v := range r.Env {
		if k == "" || strings.Contains(k, "=") || zero(k) || zero(v) {
			return fmt.Errorf("env: %q is not NAME=value; a name has neither '=' nor a zero byte", k)
		}
	}
	if r.Dir != "" && (!path.IsAbs(r.Dir) || zero(r.Dir)) {
		return fmt.Errorf("dir: %q is not an absolute path", r.Dir)
	}
	return nil
}

// most is the length of the longest frame of each kind, and whether that is its only length.
func (f ExecFrame) most() (n int, exact bool) {
	switch f {
	case ExecStart:
		return maxExecStart, false
	case ExecInput, ExecOutput, ExecErrors:
		return ExecData, false
	case ExecResize, ExecTaken, ExecExit:
		return 4, true
	case ExecSignal:
		return 16, false
	case ExecFailed:
		return maxExecText, false
	}
	return -1, false
}

// ReadExecFrame reads a frame. io.EOF: there is no more.
func ReadExecFrame(r io.Reader) (ExecFrame, []byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	kind, n := ExecFrame(head[0]), binary.BigEndian.Uint32(head[1:])
	most, exact := kind.most()
	switch {
	case most < 0:
		return 0, nil, fmt.Errorf("a frame is of the kind %d, which does not exist", kind)
	case int64(n) > int64(most), exact && int(n) != most:
		return 0, nil, fmt.Errorf("a frame of the kind %d has %d bytes; it has at most %d", kind, n, most)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return 0, nil, io.ErrUnexpectedEOF
	}
	return kind, body, nil
}

// AppendExecFrame appends a frame to b. A body that is too long is cut.
func AppendExecFrame(b []byte, kind ExecFrame, body []byte) []byte {
	if most, _ := kind.most(); len(body) > most {
		body = body[:max(most, 0)]
	}
	b = append(b, byte(kind))
	b = binary.BigEndian.AppendUint32(b, uint32(len(body)))
	return append(b, body...)
}

// ExecNumber is the body of ExecTaken and ExecExit.
func ExecNumber(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }

// ParseExecNumber reads what ExecNumber writes.
func ParseExecNumber(body []byte) int { return int(binary.BigEndian.Uint32(body)) }

// Body is the body of ExecResize.
func (s ExecSize) Body() []byte {
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, s.Rows), s.Columns)
}

// ParseExecSize reads what Body writes.
func ParseExecSize(body []byte) ExecSize {
	return ExecSize{Rows: binary.BigEndian.Uint16(body), Columns: binary.BigEndian.Uint16(body[2:])}
}
