package function

import (
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Outcome says what the end of a call means for the message and for the instance.
type Outcome int

// Outcomes.
const (
	Answered Outcome = iota // there is a result
	Refused                 // the function reports an error, or never takes this message; the instance works
	Overload                // the instance works, but takes no more calls now
	Broken                  // the instance has ended, or did not answer in time
	outcomes
)

// String names an outcome as the report and the metrics do.
func (o Outcome) String() string {
	return [...]string{"ok", "error", "overload", "broken"}[o]
}

// OutcomeOf reads the status of a call: nil, or an error of Function.Call. protocol/function/function.proto says what
// each status means.
func OutcomeOf(err error) Outcome {
	if err == nil {
		return Answered
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
	}
	return Broken
}
