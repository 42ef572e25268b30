package masterapi

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
