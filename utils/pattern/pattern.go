// Package pattern has regular expressions that cost nothing until they are used: every process is the one program, and
// most never use most of them.
package pattern

import (
	"regexp"
	"sync"
)

// Lazy returns a function that compiles expr when it is called first. It panics then when expr is wrong, as
// regexp.MustCompile does, so a test has to use each.
func Lazy(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}
