package app

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// acceptRule is an entry of accept_env: NAME or PREFIX_*. A lone * would take LD_PRELOAD too, which nobody means.
var acceptRule = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_.-]*\*?$`)

// Accepts tells whether the request of a start may set a variable of that name: one of this product, old name included,
// or one that accept_env lists. Those that the master sets itself are its own matter.
func (s Service) Accepts(name string) bool {
	if isOurs(name) {
		return true
	}
	return slices.ContainsFunc(s.AcceptEnv, func(entry string) bool {
		prefix, ok := strings.CutSuffix(entry, "*")
		return name == entry || ok && strings.HasPrefix(name, prefix)
	})
}

// AcceptLine is the line of application.yml with which the service accepts names too. It is empty when no line can.
func (s Service) AcceptLine(names ...string) string {
	for _, n := range names {
		if !acceptRule.MatchString(n) || strings.HasSuffix(n, "*") {
			return ""
		}
	}
	return "accept_env: [" + strings.Join(append(slices.Clone(s.AcceptEnv), names...), ", ") + "]"
}

func checkAccept(entries []string) error {
	for i, e := range entries {
		if !acceptRule.MatchString(e) {
			return fmt.Errorf("accept_env[%d]: %q: write the name of an environment variable, or the beginning of names and *, "+
				"such as APP_*", i, e)
		}
		if slices.Index(entries, e) < i {
			return fmt.Errorf("accept_env[%d]: %q stands twice; keep one of them", i, e)
		}
	}
	return nil
}
