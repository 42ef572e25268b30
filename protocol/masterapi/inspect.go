package masterapi

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/baetyl/baetyl/utils/host"
)

// Inspect is the answer of RouteInspect ("System Inspect").
type Inspect struct {
	Error    string    `json:"error,omitempty"` // why the application, or its last update, is not as wanted
	Time     time.Time `json:"time"`
	Software Software  `json:"software"`
	Hardware Hardware  `json:"hardware"`
	Services []Service `json:"services,omitempty"` // by name
	Volumes  []Volume  `json:"volumes,omitempty"`
}

// Software is what runs.
type Software struct {
	OS          string `json:"os,omitempty"`
	Arch        string `json:"arch,omitempty"`
	PWD         string `json:"pwd,omitempty"`  // working directory of the master
	Mode        string `json:"mode,omitempty"` // docker or native
	GoVersion   string `json:"go_version,omitempty"`
	BinVersion  string `json:"bin_version,omitempty"`
	GitRevision string `json:"git_revision,omitempty"`
	ConfVersion string `json:"conf_version,omitempty"` // of the application

	StartTime *time.Time `json:"start_time,omitempty"` // of the master
}

// Hardware is the machine.
type Hardware struct {
	Host *host.Info `json:"host_stats,omitempty"`
	Net  *host.Net  `json:"net_stats,omitempty"`
	Mem  *host.Mem  `json:"mem_stats,omitempty"`
	CPU  *host.CPU  `json:"cpu_stats,omitempty"`
	Disk *host.Disk `json:"disk_stats,omitempty"`
	GPU  []host.GPU `json:"gpu_stats,omitempty"`
}

// Volume is a volume of the application.
type Volume struct {
	Name    string `json:"name"`
	Path    string `json:"path,omitempty"`
	Version string `json:"version,omitempty"`
}

// Service is a service of the application with its instances.
type Service struct {
	Name      string     `json:"name"`
	Error     string     `json:"error,omitempty"` // the last failure of an instance, until one has stayed up
	Instances []Instance `json:"instances,omitempty"`
	Stopped   *Stopped   `json:"stopped,omitempty"` // by hand: no instance starts until somebody starts the service
}

// States of an instance.
const (
	StatusStarting   = "starting"   // being started
	StatusRunning    = "running"    //
	StatusRestarting = "restarting" // has ended, waits for its next start
	StatusFailed     = "failed"     // could not start (waits for its next try), or was given up
	StatusExited     = "exited"     // has ended, and its restart policy leaves it at that
	StatusWaiting    = "waiting"    // for other services (Instance.Waiting); newer than the documents
)

// Instance is one process or container. What the instance reported itself stands beside these keys in JSON and can
// replace none of them.
type Instance struct {
	Name      string     `json:"name"`
	Status    string     `json:"status"`
	StartTime *time.Time `json:"start_time,omitempty"` // of the current or last run
	Restarts  int        `json:"restarts,omitempty"`   // since the service was started
	Error     string     `json:"error,omitempty"`      // how the last run ended, or why there was none
	Output    []string   `json:"output,omitempty"`     // last lines of an instance that does not run
	Warnings  []string   `json:"warnings,omitempty"`   // what was asked for and does not hold
	Process   *Process   `json:"process,omitempty"`    // native mode
	Container *Container `json:"container,omitempty"`  // docker mode
	CPU       *host.CPU  `json:"cpu_stats,omitempty"`
	Mem       *host.Mem  `json:"mem_stats,omitempty"`
	Health    *Health    `json:"health,omitempty"`  // of one that runs and has a health check; newer than the documents
	Waiting   string     `json:"waiting,omitempty"` // for what, of an instance that is StatusWaiting

	Reported map[string]json.RawMessage `json:"-"` // by RouteReport
}

// Process identifies an instance in native mode.
type Process struct {
	ID   int    `json:"id"`
	Name string `json:"name"` // of its program
}

// Container identifies an instance in docker mode.
type Container struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// identity are the keys that a report may not use, since readers take them for what the master knows.
var identity = []string{
	"name", "status", "start_time", "restarts", "error", "output", "process", "container", "cpu_stats", "mem_stats",
	"warnings", "health", "waiting",
}

// Reserved tells whether a report may not use key, in whatever case: readers in Go ignore it.
func Reserved(key string) bool {
	for _, k := range identity {
		if strings.EqualFold(k, key) {
			return true
		}
	}
	return false
}

// instance is Instance without its methods.
type instance Instance

// MarshalJSON puts what was reported beside the keys of the master.
func (i Instance) MarshalJSON() ([]byte, error) {
	own, err := json.Marshal(instance(i))
	if err != nil || len(i.Reported) == 0 {
		return own, err
	}
	all := map[string]json.RawMessage{}
	if err := json.Unmarshal(own, &all); err != nil {
		return nil, err
	}
	for k, v := range i.Reported {
		if !Reserved(k) {
			all[k] = v
		}
	}
	return json.Marshal(all)
}

// UnmarshalJSON takes the keys apart again.
func (i *Instance) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, (*instance)(i)); err != nil {
		return err
	}
	all := map[string]json.RawMessage{}
	if err := json.Unmarshal(data, &all); err != nil {
		return err
	}
	for k := range all {
		if Reserved(k) {
			delete(all, k)
		}
	}
	if len(all) > 0 {
		i.Reported = all
	}
	return nil
}
