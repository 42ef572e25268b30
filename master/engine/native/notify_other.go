//go:build unix && !linux

package native

import (
	"errors"
	"os"
)

// canNotify: here the kernel does not say who has sent a datagram, so nothing is taken.
const canNotify = false

func openNotify(string, int, int) (*os.File, error) { return nil, errors.ErrUnsupported }
func receive(int) (datagram, error)                 { return datagram{}, errors.ErrUnsupported }
func listens(int) bool                              { return false }
func sendAway([]int) (stop func(), err error)       { return nil, errors.ErrUnsupported }
