package masterapi

import "os"

// Legacy maps an environment variable to its names of before 0.1.5 (product name OpenEdge). The master sets both,
// readers take the new name and fall back to the old ones in this order.
var Legacy = map[string][]string{
	EnvHostID:          {"OPENEDGE_HOST_ID"},
	EnvHostOS:          {"OPENEDGE_HOST_OS"},
	EnvAPIAddress:      {"OPENEDGE_MASTER_API"},
	EnvAPIVersion:      {"OPENEDGE_MASTER_API_VERSION"},
	EnvServiceMode:     {"OPENEDGE_RUNNING_MODE"},
	EnvServiceName:     {"OPENEDGE_SERVICE_NAME"},
	EnvServiceToken:    {"OPENEDGE_SERVICE_TOKEN"},
	EnvInstanceName:    {"OPENEDGE_SERVICE_INSTANCE_NAME"},
	EnvInstanceAddress: {"OPENEDGE_SERVICE_INSTANCE_ADDRESS", "OPENEDGE_SERVICE_ADDRESS"},
}

// Getenv reads an environment variable by its name, else by its names of before 0.1.5. It is empty when none of them
// is set.
func Getenv(name string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	for _, old := range Legacy[name] {
		if v := os.Getenv(old); v != "" {
			return v
		}
	}
	return ""
}
