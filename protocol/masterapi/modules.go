package masterapi

import "time"

// PathModule is where every admin interface of a module says what it is, as ModuleKind.
const PathModule = "/v1/module"

// ModuleKind is the answer of PathModule.
type ModuleKind struct {
	Module string `json:"module"` // ModuleHub, ModuleFunctionManager, or what another module calls itself
}

// Kinds of modules.
const (
	ModuleHub             = "hub"
	ModuleFunctionManager = "function-manager"
)

// PageKey is the file with the key of the page's sessions, relative to the working directory of the master. Without it
// everybody has to log in anew.
const PageKey = "var/run/baetyl/page.key"

// Link is the answer of RouteLink.
type Link struct {
	URL  string    `json:"url"`  // logs in whoever opens it first
	Ends time.Time `json:"ends"` // then it does no longer
}

// Modules is the answer of RouteModules: the services that have an admin interface now, by name.
type Modules struct {
	Items []Module `json:"items"`
}

// Module is a service with an admin interface.
type Module struct {
	Service string `json:"service"`
	Module  string `json:"module,omitempty"` // its ModuleKind; empty: it does not say so
	Error   string `json:"error,omitempty"`  // why not
}
