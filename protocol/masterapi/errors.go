package masterapi

import "errors"

// Reasons for which the master refuses a request, each with a status of its own in the API (409 and 422).
var (
	ErrBusy = errors.New("an update, or the start of the application, is running; try again later")
	// a backup or a support bundle, of which one is made at a time
	ErrCollecting = errors.New("a backup or a support bundle is being made; try again later")
	ErrEnding     = errors.New("this master ends, and another one may follow; try again later")
	ErrRefused    = errors.New("refused") // the request is wrong; it would fail on any device
)
