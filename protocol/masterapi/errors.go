package masterapi

import "errors"

// Why the master does not do what it is asked, as far as the API has an answer of its own for it (409 and 422).
var (
	ErrBusy    = errors.New("an update, or the start of the application, is running; try again later")
	ErrRefused = errors.New("refused") // the request is to blame, not this device
)
