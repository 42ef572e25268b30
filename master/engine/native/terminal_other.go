//go:build unix && !linux

package native

import (
	"errors"
	"os"

	"github.com/baetyl/baetyl/master/engine"
)

func openTerminal(engine.Size) (outer, inner *os.File, err error) {
	return nil, nil, errors.New("a terminal in an instance needs Linux")
}

func setSize(*os.File, engine.Size) error { return nil }
