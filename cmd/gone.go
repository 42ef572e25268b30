package cmd

import (
	"errors"
	"io"
	"syscall"
)

// isGone tells whether err says that the other side has ended a connection in the middle of an answer.
func isGone(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE)
}

// twice carries out do again where the master has gone meanwhile: the next one answers. It is for what does no harm
// when it is done twice.
func twice(do func() error) error {
	err := do()
	if isGone(err) {
		err = do()
	}
	return err
}
