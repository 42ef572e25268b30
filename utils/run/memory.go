package run

import (
	"runtime/debug"
	"time"
)

// settled is how long after its start a program has done what it does only once.
const settled = 5 * time.Second

// GiveBack returns what a start has used, and nothing needs any more, to the system once. A program that idles would
// keep it for ever, since it makes too little garbage for a collection. stop ends the wait for it.
func GiveBack() (stop func()) {
	t := time.AfterFunc(settled, debug.FreeOSMemory)
	return func() { t.Stop() }
}
