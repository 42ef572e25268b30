//go:build unix

package launch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
)

// WardenArg is the argument that makes this program the warden of one command in an instance (early).
const WardenArg = "native-warden"

// Descriptors of a warden; 0, 1 and 2 are those of the command, and Spec.Join follow.
const (
	orderFD   = 3 // Order, as Encode writes it
	resultFD  = 4 // Result, at the end
	controlFD = 5 // each byte is a signal for the command; the end of the master, or of its patience, closes it
	wardJoin  = 6
)

// Order is what a warden has to do: to run a command, and to see to it that nothing of it is left.
//
//	master ──► warden ──fork──► shim ──exec──► command ─► whatever it starts
//	             │ adopts what loses its parent, in any session
//	             └ command ended, master gone, master wants no more ─► kills all of that ─► says how it ended
//
// The master may be killed at any moment, so it cannot do that itself. A warden has nothing of the instance: neither
// its user, nor its files, nor its cgroup.
type Order struct {
	Spec    Spec     // of the command; Keeper is set by the warden
	Cgroups []string // groups of the command alone
}

// Encode writes o for a warden.
func (o Order) Encode() ([]byte, error) {
	if _, err := o.Spec.Encode(); err != nil {
		return nil, err
	}
	return json.Marshal(o)
}

// Result is how a command ended.
type Result struct {
	Status int           // exit status; 128 and the number of a signal
	Errno  syscall.Errno // of execve(2), when nothing has run
	Failed string        // why nothing has run, or why something of it is left; empty: all is well
}

func (r Result) encode() []byte {
	return fmt.Appendf(nil, "%d %d %s", r.Status, int(r.Errno), r.Failed)
}

// maxResult is the size of the longest result that is read, in bytes.
const maxResult = 64 << 10

// ReadResult reads what a warden says, to the end of it. An error means that it has ended before it could say anything.
func ReadResult(from io.Reader) (r Result, err error) {
	data, err := io.ReadAll(io.LimitReader(from, maxResult))
	if err != nil {
		return r, err
	}
	return parseResult(data)
}

func parseResult(data []byte) (r Result, err error) {
	status, rest, _ := bytes.Cut(data, []byte(" "))
	errno, failed, ok := bytes.Cut(rest, []byte(" "))
	if !ok {
		return r, errors.New("the warden of the command has ended without a result")
	}
	var n int
	if r.Status, err = strconv.Atoi(string(status)); err == nil {
		n, err = strconv.Atoi(string(errno))
	}
	if err != nil || r.Status < 0 || n < 0 {
		return Result{}, fmt.Errorf("the warden of the command has said %q", data)
	}
	r.Errno, r.Failed = syscall.Errno(n), string(failed)
	return r, nil
}

// Warden is the warden. It never returns. The goroutine that calls it has to be the main one.
func Warden() {
	_, _ = syscall.Write(resultFD, ward().encode()) // there is no other place for it
	os.Exit(0)
}
