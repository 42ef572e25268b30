package masterapi

// Legacy maps an environment variable to its names of before 0.1.5 (product name OpenEdge). The master sets both, readers take
// the new name and fall back to the old ones in this order.
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
