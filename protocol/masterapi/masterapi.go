// Package masterapi is what the master and its services must agree on: the names of environment variables, the routes
// of the RESTful API with their headers and bodies, and the report of the system (documents: Baetyl Design, "RESTful
// API" and "Environment Variable").
//
//	master ──environment──► service instance ──HTTP over unix socket or tcp, two headers──► master
package masterapi

import (
	"slices"
	"strings"
)

// AdminSocket is where persons call the master, relative to its working directory: root, the user of the master and the
// members of server.group, without headers. No service is given it.
const AdminSocket = "var/run/baetyl/admin.sock"

// ServiceAdmin is the name of the socket in the run folder of an instance (EnvRunDir) at which a module serves persons.
// The master connects them (PathServiceAdmin).
const ServiceAdmin = "admin.sock"

// Headers that authenticate a service.
const (
	HeaderUsername = "x-openedge-username" // name of the service
	HeaderPassword = "x-openedge-password" // its token
)

// HeaderCaller says to a module for whom the master asks at its admin socket, for the module's log: user and process of
// a person.
const HeaderCaller = "x-baetyl-caller"

// Environment variables of a service instance.
const (
	EnvHostID     = "BAETYL_HOST_ID"            // fingerprint of the host
	EnvHostOS     = "BAETYL_HOST_OS"            // GOOS of the master
	EnvHostSN     = "BAETYL_HOST_SN"            // serial number of the device, if snfile names its file
	EnvAPIAddress = "BAETYL_MASTER_API_ADDRESS" // unix://… or tcp://… as the instance sees it
	EnvAPIVersion = "BAETYL_MASTER_API_VERSION" // v1
	EnvAPISocket  = "BAETYL_MASTER_API_SOCKET"  // path of the socket on the host, unix only
	// PEM files for an API over TLS, which the application sets, as paths in the service: the authority of the API's
	// certificate, where the system does not know it, and what the service presents where server.ca is set
	EnvAPICA           = "BAETYL_MASTER_API_CA"
	EnvAPICert         = "BAETYL_MASTER_API_CERT"
	EnvAPIKey          = "BAETYL_MASTER_API_KEY"
	EnvServiceMode     = "BAETYL_SERVICE_MODE"             // docker or native
	EnvServiceName     = "BAETYL_SERVICE_NAME"             //
	EnvServiceToken    = "BAETYL_SERVICE_TOKEN"            // absent from dynamic instances
	EnvInstanceName    = "BAETYL_SERVICE_INSTANCE_NAME"    //
	EnvInstanceAddress = "BAETYL_SERVICE_INSTANCE_ADDRESS" // where a function instance listens; from the function manager
	// 1: the function manager prefers a pipe there (protocol/function) to gRPC
	EnvInstancePipe = "BAETYL_SERVICE_INSTANCE_PIPE"
	// what the function manager and the instance alone know: 64 hexadecimal digits, new for each instance. The runtime
	// takes it out of its environment
	EnvInstanceSecret = "BAETYL_SERVICE_INSTANCE_SECRET"
	// calls at once that the function manager wants of the instance; absent: the runtime's own number
	EnvInstanceConcurrency = "BAETYL_SERVICE_INSTANCE_CONCURRENCY"
	// folder of the instance, private to it, for sockets and secrets; removed with it. Not in instances that another
	// service starts in docker mode
	EnvRunDir = "BAETYL_SERVICE_RUN_DIR"
)

// systemVars are those that the master alone sets, or nobody, or the application, since they say whom to trust.
var systemVars = []string{
	EnvHostID, EnvHostOS, EnvHostSN, EnvAPIAddress, EnvAPIVersion, EnvAPISocket, EnvServiceMode, EnvServiceName,
	EnvServiceToken, EnvInstanceName, EnvRunDir, EnvAPICA, EnvAPICert, EnvAPIKey,
}

// IsSystem tells whether name, of today or of before 0.1.5, is a variable that the master or the application alone
// sets. In the request of a start it has no effect, also where it has no value.
func IsSystem(name string) bool {
	return slices.ContainsFunc(systemVars, func(v string) bool {
		return v == name || slices.Contains(Legacy[v], name)
	})
}

// Modes of running services.
const (
	ModeDocker = "docker"
	ModeNative = "native"
)

// Kinds of update.
const (
	UpdateApp    = "APP" // the application: services and volumes
	UpdateMaster = "MST" // the master's own binary
)

// UpdateRequest is the body of RouteUpdate.
type UpdateRequest struct {
	Type string `json:"type,omitempty"` // UpdateApp when empty
	// on the host: application.yml or its folder, or the candidate binary or the folder of its bin/baetyl
	Path string `json:"path,omitempty"`
	// text of an application.yml, in place of Path; newer than the documents, and for persons alone
	Application string `json:"application,omitempty"`

	Trace  string `json:"trace,omitempty"`  // id under which progress is logged
	SHA256 string `json:"sha256,omitempty"` // of the file, in hex; newer than the documents. Empty: not compared
	File   string `json:"file,omitempty"`   // name of Path before 0.1.4
	// an application is taken, too, after which its requester, or every agent, could not ask for another one; newer than
	// the documents
	Force bool `json:"force,omitempty"`
}

// PortAvailable is the answer of RoutePorts: one of the two.
type PortAvailable struct {
	Port string `json:"port,omitempty"` // decimal; a text since 2019
	// unix:<path>, where the instance that QueryService and QueryInstance name listens if the same caller starts it. The
	// two may enter the folder of it, and nobody else. Newer than the documents
	Address string `json:"address,omitempty"`
}

// Reloaded is the answer of RouteReload: the keys of conf.yml whose values have changed, sorted, by what it takes for
// the new value to hold.
type Reloaded struct {
	Effective   []string `json:"effective,omitempty"`    // nothing: it holds now
	Restart     []string `json:"restart,omitempty"`      // a new master (RouteRestart)
	FullRestart []string `json:"full_restart,omitempty"` // a new master and new instances of all services
}

// String is for people.
func (r Reloaded) String() string {
	var parts []string
	for _, p := range []struct {
		keys []string
		what string
	}{
		{r.Effective, "in effect"}, {r.Restart, "after `baetyl restart`"}, {r.FullRestart, "after a restart of everything"},
	} {
		if len(p.keys) > 0 {
			parts = append(parts, p.what+": "+strings.Join(p.keys, ", "))
		}
	}
	if len(parts) == 0 {
		return "nothing has changed"
	}
	return strings.Join(parts, "; ")
}

// Error is the body of every answer with a status of 400 or more.
type Error struct {
	Code    string `json:"code"`    // stable word, for example not_found
	Message string `json:"message"` // for people
}
