package api

import (
	"strings"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// paths of a route: the second one, without a version, is for clients before 0.1.4.
func paths(r masterapi.Route) []string {
	return []string{r.Path, strings.TrimPrefix(r.Path, "/"+masterapi.Version)}
}
