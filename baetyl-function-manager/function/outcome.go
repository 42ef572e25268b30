package function

import (
	"errors"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	rpc "github.com/baetyl/baetyl/sdk/baetyl-go/function"
)

// Outcome says what the end of a call means for the message and for the instance.
type Outcome int

// Outcomes.
const (
	Answered Outcome = iota // there is a result
	Refused                 // the function reports an error, or never takes this message; the instance works
	Overload                // the instance works, but takes no more calls now
	Broken                  // the instance has ended
	TimedOut                // it did not answer in time
	Unbegun                 // one of both, before it began the call, which goes to another instance
	outcomes
)

// String names an outcome as the report and the metrics do.
func (o Outcome) String() string {
	return [...]string{"ok", "error", "overload", "broken", "timeout", "unbegun"}[o]
}

// OutcomeOf reads the status of a call: nil, or an error of Call.Done. protocol/function/function.proto says what
// each status means.
func OutcomeOf(err error) Outcome {
	if err == nil {
		return Answered
	}
	if errors.Is(err, rpc.ErrNotBegun) {
		return Unbegun
	}
	s := status.Convert(err)
	switch s.Code() {
	case codes.Unknown,
		codes.InvalidArgument,
		codes.NotFound,
		codes.AlreadyExists,
		codes.PermissionDenied,
		codes.FailedPrecondition,
		codes.OutOfRange,
		codes.Unimplemented,
		codes.Unauthenticated:
		return Refused
	case codes.ResourceExhausted:
		if strings.Contains(s.Message(), "larger than max") { // gRPC implementations of all languages say so
			return Refused
		}
		return Overload
	case codes.DeadlineExceeded:
		return TimedOut
	}
	return Broken
}
