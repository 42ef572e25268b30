package masterapi

// PathModule is where every admin interface of a module says what it is, as ModuleKind.
const PathModule = "/v1/module"

// PathMetrics is where an admin interface of a module has its numbers, as Prometheus reads them. The master gathers those of
// all modules (metrics.address).
const PathMetrics = "/metrics"

// ModuleKind is the answer of PathModule.
type ModuleKind struct {
	Module string `json:"module"` // ModuleHub, …, or what another module calls itself
}

// Kinds of modules.
const (
	ModuleHub             = "hub"
	ModuleFunctionManager = "function-manager"
	ModuleRemoteMQTT      = "remote-mqtt"
	ModuleAgent           = "agent"
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
