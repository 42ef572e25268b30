package function

import (
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Verdict says what a failed call means.
type Verdict int

// Verdicts.
const (
	Answered Verdict = iota // there is a result
	Refused                 // the function says no: its own error, or a message that it never takes; the instance is sound
	Overload                // the instance is sound but has no room now
	Broken                  // the instance is gone, or does not answer in time
)

// Judge reads the status of a call (function.proto says what each means).
func Judge(err error) Verdict {
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
		if strings.Contains(s.Message(), "larger than max") { // gRPC's words, in every language
			return Refused
		}
		return Overload
	}
	return Broken
}
