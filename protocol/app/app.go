// Package app is the application configuration, application.yml: which services run, and what each of them sees
// (documents: Baetyl Design, "Master"; Baetyl Configuration Interpretation, "Application Configuration").
//
//	application.yml ─► list form (documented) ─────────┐
//	                └► compose form of 1.0 (legacy.go) ─┴─► Config ─► Validate ─► one value, the same for both forms
//
// It promises that what Load returns is consistent: names are unique and safe in paths, every reference (volume,
// network, dependency) has its target, no path leaves its folder, and there is no cycle. It reads the file and nothing
// else, and depends on neither engine nor host.
package app

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v2"

	"github.com/baetyl/baetyl/utils/conf"
)

// Config is an application. Its tags are those of the list form.
type Config struct {
	Name string `yaml:"name,omitempty" json:"name,omitempty"` // of the application; for people
	// shown as conf_version by inspect; never compared
	Version  string             `yaml:"version,omitempty" json:"version,omitempty"`
	Services []Service          `yaml:"services,omitempty" json:"services,omitempty"` // in the order of start
	Volumes  []Volume           `yaml:"volumes,omitempty" json:"volumes,omitempty"`   //
	Networks map[string]Network `yaml:"networks,omitempty" json:"networks,omitempty"` // docker mode
}

// Service is one service and what its instances get.
type Service struct {
	// unique; also the name of its first instance
	Name string `yaml:"name" json:"name"`
	// docker: image; native: package below lib/baetyl
	Image string `yaml:"image" json:"image"`
	// docker mode
	Hostname string `yaml:"hostname,omitempty" json:"hostname,omitempty"`
	// instances that the master starts; 0: only on demand
	Replica int     `yaml:"replica,omitempty" json:"replica,omitempty" validate:"min=0, max=1000"`
	Mounts  []Mount `yaml:"mounts,omitempty" json:"mounts,omitempty"` //
	// docker mode
	NetworkMode string `yaml:"network_mode,omitempty" json:"network_mode,omitempty" validate:"oneof=bridge|host|none"`
	// docker mode
	Networks Aliases `yaml:"networks,omitempty" json:"networks,omitempty"`
	// [ip:]host:container[/protocol], see ParsePorts; native mode: a port below 1024 gives the right to listen below 1024
	Ports []string `yaml:"ports,omitempty" json:"ports,omitempty"`
	// host[:container[:rwm]]; native mode: the service may use the device of the host, under its own path
	Devices []string `yaml:"devices,omitempty" json:"devices,omitempty"`
	// services that start before and stop after this one
	DependsOn Dependencies `yaml:"depends_on,omitempty" json:"depends_on,omitempty"`
	// docker mode: in place of the image's own
	Entrypoint []string `yaml:"entrypoint,omitempty" json:"entrypoint,omitempty"`
	// arguments of the program, without arg[0]
	Args      []string          `yaml:"args,omitempty" json:"args,omitempty"`
	Env       map[string]string `yaml:"env,omitempty" json:"env,omitempty"`   //
	Restart   Restart           `yaml:"restart,omitempty" json:"restart"`     //
	Resources Resources         `yaml:"resources,omitempty" json:"resources"` //
	// user[:group], see ParseAccount. Empty: native mode, a user of its own; docker mode, that of the image
	User string `yaml:"user,omitempty" json:"user,omitempty"`
	Stop Stop   `yaml:"stop,omitempty" json:"stop"` //
	// docker mode, for example nvidia
	Runtime string `yaml:"runtime,omitempty" json:"runtime,omitempty"`
	// what its token allows; nil: see Rights
	API []Right `yaml:"api,omitempty" json:"api,omitzero"`
	// variables that the request of a start may set, beside those that Accepts knows: NAME or PREFIX_*
	AcceptEnv []string `yaml:"accept_env,omitempty" json:"accept_env,omitempty"`
	// docker mode
	Container `yaml:",inline"`
}

// Mount shows a volume to a service.
type Mount struct {
	Name string `yaml:"name" json:"name"` // of the volume
	// in the container, or below the service's directory
	Path     string `yaml:"path" json:"path"`
	ReadOnly bool   `yaml:"readonly,omitempty" json:"readonly,omitempty"` //
}

// Volume is a folder of the host, or a volume that docker manages (compose form only).
type Volume struct {
	// unique; a host path in the compose form is its own name
	Name string `yaml:"name" json:"name"`
	// relative to the master's working directory, which it cannot leave; empty: managed
	Path string     `yaml:"path" json:"path,omitempty"`
	Meta VolumeMeta `yaml:"meta,omitempty" json:"meta,omitempty"` // where the agent gets it from
	// native mode: who owns the folder, a service or what ParseAccount reads. Empty: the service that writes it, or a
	// group of those that do
	Owner string `yaml:"owner,omitempty" json:"owner,omitempty"`

	Driver     string            `yaml:"-" json:"driver,omitempty"`      // managed volumes
	DriverOpts map[string]string `yaml:"-" json:"driver_opts,omitempty"` //
	Labels     map[string]string `yaml:"-" json:"labels,omitempty"`      //
}

// Managed tells whether docker keeps the content, and not a folder of the host.
func (v Volume) Managed() bool { return v.Path == "" }

// VolumeMeta says which package fills a volume. The master does not use it.
type VolumeMeta struct {
	URL     string `yaml:"url,omitempty" json:"url,omitempty"`
	MD5     string `yaml:"md5,omitempty" json:"md5,omitempty"`       // of the package: standard base64 of the 16 bytes
	SHA256  string `yaml:"sha256,omitempty" json:"sha256,omitempty"` // of the package, in hex; newer than the documents
	Version string `yaml:"version,omitempty" json:"version,omitempty"`
}

// Restart policies.
const (
	RestartAlways    = "always"
	RestartOnFailure = "on-failure"
	RestartNo        = "no"
)

// Restart says what happens when an instance ends.
type Restart struct {
	Policy string `yaml:"policy,omitempty" json:"policy,omitempty" default:"always" validate:"oneof=always|on-failure|no"`

	Retry   Retry   `yaml:"retry,omitempty" json:"retry"`
	Backoff Backoff `yaml:"backoff,omitempty" json:"backoff"`
}

// Retry limits restarts.
type Retry struct {
	Max int `yaml:"max,omitempty" json:"max,omitempty" validate:"min=0"` // restarts in a row; 0: without limit
}

// Backoff is the time between restarts: Min, Min·Factor, … up to Max.
type Backoff struct {
	Min    time.Duration `yaml:"min,omitempty" json:"min,omitempty" default:"1s" validate:"min=1s"`
	Max    time.Duration `yaml:"max,omitempty" json:"max,omitempty" default:"5m" validate:"min=1s"`
	Factor float64       `yaml:"factor,omitempty" json:"factor,omitempty" default:"2" validate:"min=1"`
}

// Resources limits an instance with all processes that it starts.
type Resources struct {
	CPU    CPU    `yaml:"cpu,omitempty" json:"cpu"`
	Memory Memory `yaml:"memory,omitempty" json:"memory"`
	Pids   Pids   `yaml:"pids,omitempty" json:"pids"`
}

// CPU limits processor time.
type CPU struct {
	// cores, for example 1.5; 0: without limit
	Cpus    float64 `yaml:"cpus,omitempty" json:"cpus,omitempty" validate:"min=0"`
	SetCPUs string  `yaml:"setcpus,omitempty" json:"setcpus,omitempty"` // which cores, for example 0-2 or 0,3
}

// Memory limits memory; 0 is without limit.
type Memory struct {
	Limit conf.Size `yaml:"limit,omitempty" json:"limit,omitempty"`
	Swap  conf.Size `yaml:"swap,omitempty" json:"swap,omitempty"`
}

// Pids limits processes; 0 is without limit.
type Pids struct {
	Limit int64 `yaml:"limit,omitempty" json:"limit,omitempty" validate:"min=0"`
}

// Load reads and validates the file at path. An error names file and key. A missing file is os.ErrNotExist, one without
// content conf.ErrEmpty; {} or a comment alone is an empty application.
func Load(path string) (*Config, error) {
	data, err := conf.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, data)
}

// Parse is Load for the content of the file called name.
func Parse(name string, data []byte) (*Config, error) {
	tree, err := conf.Tree(name, data, variables, conf.NonEmpty())
	if err != nil {
		return nil, err
	}
	if isCompose(tree) {
		return parseCompose(name, data, tree)
	}
	c := &Config{}
	if err := conf.Parse(name, data, c, variables); err != nil {
		return nil, err
	}
	return c, nil
}

// variables gives {{.NAME}} the variables of this product only: an application comes from outside and must not read
// the rest of the master's environment.
var variables = conf.Only(ourPrefixes...)

// ourPrefixes begin the names of variables of this product: of today, and of before 0.1.5.
var ourPrefixes = []string{"BAETYL_", "OPENEDGE_"}

// isOurs tells whether a variable is of this product.
func isOurs(name string) bool {
	return slices.ContainsFunc(ourPrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

// isCompose tells the forms apart by what `services` is: a list, or a mapping of names. A file without services is
// told by the keys that only one form has.
func isCompose(top yaml.MapSlice) bool {
	volumes, version := false, false
	for _, item := range top {
		_, mapping := item.Value.(yaml.MapSlice)
		switch item.Key {
		case "services":
			if item.Value != nil {
				return mapping
			}
		case "volumes":
			volumes = mapping
		case "app_version":
			version = item.Value != nil && item.Value != ""
		}
	}
	return volumes || version
}

// Service returns the service called name.
func (c *Config) Service(name string) (Service, error) {
	for _, s := range c.Services {
		if s.Name == name {
			return s, nil
		}
	}
	return Service{}, fmt.Errorf("service %s is not part of the application", name)
}

// Volume returns the volume called name; Validate has made sure that each mount has one.
func (c *Config) Volume(name string) Volume {
	for _, v := range c.Volumes {
		if v.Name == name {
			return v
		}
	}
	return Volume{}
}
