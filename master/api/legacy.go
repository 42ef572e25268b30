package api

import "github.com/baetyl/baetyl/protocol/masterapi"

// prefixes of the routes: the second one is that of clients before 0.1.4, which knew no version.
var prefixes = []string{"/" + masterapi.Version, ""}
