package volume

import (
	"strings"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/cloud"
)

// below returns p, a path as the master takes it, relative to cloud.Root; "" if it is not below it. The root itself, which the
// agent mounts, and what contains it are not: they would make everything live for ever.
func below(p string) string {
	p, err := app.CleanPath(p)
	if err != nil {
		return ""
	}
	rest, ok := strings.CutPrefix(p, cloud.Root+"/")
	if !ok {
		return ""
	}
	return rest
}

// related tells whether a and b are the same folder or one lies in the other.
func related(a, b string) bool {
	return a == b || strings.HasPrefix(a, b+"/") || strings.HasPrefix(b, a+"/")
}
