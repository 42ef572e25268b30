package app

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"gopkg.in/yaml.v2"

	"github.com/baetyl/baetyl/utils/conf"
)

// Modules of before 0.1.5 (product name OpenEdge), whose rights are those of their successors.
const (
	legacyFunctionManager = "openedge-function-manager"
	legacyAgent           = "openedge-agent"
)

// compose is the form of application.yml that 1.0 and its cloud write: services, volumes and networks by name.
type compose struct {
	Version    string                    `yaml:"version" json:"version"` // of compose; not interpreted
	AppVersion string                    `yaml:"app_version" json:"app_version"`
	Name       string                    `yaml:"name" json:"name"`
	Services   map[string]composeService `yaml:"services" json:"services"`
	Volumes    map[string]composeManaged `yaml:"volumes" json:"volumes"`
	Networks   map[string]composeNetwork `yaml:"networks" json:"networks"`

	order []string // names of services as they stand, for which a map has no place
}

type composeService struct {
	ContainerName string             `yaml:"container_name" json:"container_name"`
	Hostname      string             `yaml:"hostname" json:"hostname"`
	Image         string             `yaml:"image" json:"image"`
	Replica       int                `yaml:"replica" json:"replica" validate:"min=0, max=1000"`
	Volumes       []composeMount     `yaml:"volumes" json:"volumes"`
	NetworkMode   string             `yaml:"network_mode" json:"network_mode" validate:"oneof=bridge|host|none"`
	Networks      Aliases            `yaml:"networks" json:"networks"`
	Ports         []string           `yaml:"ports" json:"ports"`
	Devices       []string           `yaml:"devices" json:"devices"`
	DependsOn     Dependencies       `yaml:"depends_on" json:"depends_on"`
	Entrypoint    composeCommand     `yaml:"entrypoint" json:"entrypoint"`
	Command       composeCommand     `yaml:"command" json:"command"`
	Environment   composeEnvironment `yaml:"environment" json:"environment"`
	Restart       Restart            `yaml:"restart" json:"restart"`
	Resources     Resources          `yaml:"resources" json:"resources"`
	Runtime       string             `yaml:"runtime" json:"runtime"`
	User          string             `yaml:"user" json:"user"`
	Stop          Stop               `yaml:"stop" json:"stop"`
	API           []Right            `yaml:"api" json:"api"`
	AcceptEnv     []string           `yaml:"accept_env" json:"accept_env"`
	Container     `yaml:",inline"`

	// compose's own names for stop.signal, stop.grace and log
	StopSignal *Signal        `yaml:"stop_signal" json:"stop_signal"`
	StopGrace  *time.Duration `yaml:"stop_grace_period" json:"stop_grace_period" validate:"min=0s"`
	Logging    *Log           `yaml:"logging" json:"logging"`
}

// adopt puts what stands under compose's names where ours have it. What stands under both is an error.
func (in composeService) adopt(s *Service) error {
	if in.StopSignal != nil {
		if s.Stop.Signal != 0 {
			return errors.New("stop_signal: stop.signal says it too; keep one of them")
		}
		s.Stop.Signal = *in.StopSignal
	}
	if in.StopGrace != nil {
		if s.Stop.Grace > 0 {
			return errors.New("stop_grace_period: stop.grace says it too; keep one of them")
		}
		s.Stop.Grace = *in.StopGrace
	}
	if in.Logging != nil {
		if s.Log != nil {
			return errors.New("logging: log says it too; keep one of them")
		}
		s.Log = in.Logging
	}
	return nil
}

type composeManaged struct {
	Driver     string            `yaml:"driver" json:"driver" default:"local"`
	DriverOpts map[string]string `yaml:"driver_opts" json:"driver_opts"`
	Labels     map[string]string `yaml:"labels" json:"labels"`
	Owner      string            `yaml:"owner" json:"owner"`
}

// composeMount is source:target[:ro|rw], or a mapping.
type composeMount struct {
	Type     string `yaml:"type"`
	Source   string `yaml:"source"`
	Target   string `yaml:"target"`
	ReadOnly bool   `yaml:"read_only"`
	Owner    string `yaml:"owner"` // of a folder of the host; a managed volume has its own key
}

// Form implements conf.Former.
func (*composeMount) Form() string {
	return "source:target[:ro], or a mapping of type, source, target, read_only and owner"
}

func (m *composeMount) UnmarshalYAML(unmarshal func(any) error) error {
	var text string
	if unmarshal(&text) == nil {
		parts := strings.Split(text, ":")
		switch {
		case len(parts) == 2:
		case len(parts) == 3 && (parts[2] == "ro" || parts[2] == "rw"):
			m.ReadOnly = parts[2] == "ro"
		default:
			return fmt.Errorf("service volume format error: %q; write source:target or source:target:ro", text)
		}
		m.Source, m.Target = parts[0], parts[1]
		return nil
	}
	var node yaml.MapSlice
	if err := unmarshal(&node); err != nil {
		return errors.New("expected source:target[:ro] or a mapping")
	}
	if err := strict(node, "type", "source", "target", "read_only", "owner"); err != nil {
		return err
	}
	type plain composeMount
	return unmarshal((*plain)(m))
}

// composeCommand is a list, or a text that is split at blanks (without quoting, as 1.0 did).
type composeCommand []string

// Form implements conf.Former.
func (*composeCommand) Form() string { return "a text or a list of texts" }

func (c *composeCommand) UnmarshalYAML(unmarshal func(any) error) error {
	var text string
	if unmarshal(&text) == nil {
		*c = strings.Fields(text)
		return nil
	}
	var list []string
	if err := unmarshal(&list); err != nil {
		return errors.New("expected a text or a list of texts")
	}
	*c = list
	return nil
}

// composeEnvironment is a mapping, or a list of NAME=value.
type composeEnvironment map[string]string

// Form implements conf.Former.
func (*composeEnvironment) Form() string { return "a mapping, or a list of NAME=value" }

func (e *composeEnvironment) UnmarshalYAML(unmarshal func(any) error) error {
	out := composeEnvironment{}
	var m map[string]string
	if unmarshal(&m) == nil {
		for k, v := range m {
			out[k] = v
		}
		*e = out
		return nil
	}
	var list []string
	if err := unmarshal(&list); err != nil {
		return errors.New("expected a mapping, or a list of NAME=value")
	}
	for _, item := range list {
		k, v, ok := strings.Cut(item, "=")
		if !ok || k == "" {
			return fmt.Errorf("environment format error: %q; write NAME=value", item)
		}
		out[k] = v
	}
	*e = out
	return nil
}

// parseCompose reads data, in which tree is. The order of a file is the order of start, which a map has lost.
func parseCompose(name string, data []byte, tree yaml.MapSlice) (*Config, error) {
	c := &compose{}
	if err := conf.Parse(name, data, c, variables); err != nil {
		return nil, err
	}
	for _, top := range tree {
		if services, ok := top.Value.(yaml.MapSlice); ok && top.Key == "services" {
			for _, item := range services {
				c.order = append(c.order, fmt.Sprint(item.Key))
			}
		}
	}
	out, err := c.convert()
	if err == nil {
		err = out.Validate()
	}
	if err != nil {
		return nil, &conf.Error{File: name, Err: err}
	}
	return out, nil
}

func (c *compose) convert() (*Config, error) {
	out := &Config{Name: c.Name, Version: c.AppVersion, Networks: map[string]Network{}}
	for name, n := range c.Networks {
		out.Networks[name] = n.convert()
	}
	for _, name := range sortedKeys(c.Volumes) {
		v := c.Volumes[name]
		out.Volumes = append(out.Volumes, Volume{
			Name: name, Owner: v.Owner, Driver: v.Driver, DriverOpts: v.DriverOpts, Labels: v.Labels,
		})
	}
	names := map[string]string{} // key → name of the service
	for _, key := range sortedKeys(c.Services) {
		if err := CheckName(key); err != nil {
			return nil, fmt.Errorf("services.%s: %w", key, err)
		}
		names[key] = key
		if n := c.Services[key].ContainerName; n != "" {
			names[key] = n
		}
	}
	service := func(name string) string { // the service's key is its name for others in the file
		if n, ok := names[name]; ok {
			return n
		}
		return name
	}
	for i := range out.Volumes {
		out.Volumes[i].Owner = service(out.Volumes[i].Owner)
	}
	paths := map[string]int{} // of a folder → index in out.Volumes
	for _, key := range c.keys() {
		in := c.Services[key]
		s := Service{
			Name: names[key], Image: in.Image, Hostname: in.Hostname, Replica: in.Replica,
			NetworkMode: in.NetworkMode, Networks: in.Networks, Ports: in.Ports, Devices: in.Devices,
			Entrypoint: in.Entrypoint, Args: in.Command, Env: in.Environment,
			Restart: in.Restart, Resources: in.Resources, Runtime: in.Runtime, API: renamed(in.API, service),
			AcceptEnv: in.AcceptEnv, User: in.User, Stop: in.Stop, Container: in.Container,
		}
		if err := in.adopt(&s); err != nil {
			return nil, fmt.Errorf("services.%s.%w", key, err)
		}
		for i, d := range in.DependsOn {
			if names[d.Service] == "" {
				const text = "services.%s.depends_on[%d]: there is no service %q; add it to services"
				return nil, fmt.Errorf(text, key, i, d.Service)
			}
			d.Service = names[d.Service]
			s.DependsOn = append(s.DependsOn, d)
		}
		for i, m := range in.Volumes {
			at := fmt.Sprintf("services.%s.volumes[%d]", key, i)
			_, managed := c.Volumes[m.Source]
			switch {
			case m.Source == "" || m.Target == "":
				return nil, fmt.Errorf("%s: source and target must not be empty", at)
			case m.Type != "" && m.Type != "volume" && m.Type != "bind":
				return nil, fmt.Errorf("%s.type: %q is not volume or bind", at, m.Type)
			case m.Type == "volume" && !managed:
				return nil, fmt.Errorf("%s.source: volume '%s' not found; add it to volumes", at, m.Source)
			case m.Type == "bind" && managed:
				return nil, fmt.Errorf("%s.source: %q is the name of a volume; write ./%s for the folder", at, m.Source, m.Source)
			}
			if _, known := paths[m.Source]; !managed && !known {
				paths[m.Source] = len(out.Volumes)
				out.Volumes = append(out.Volumes, Volume{Name: m.Source, Path: m.Source})
			}
			if m.Owner != "" {
				if managed {
					return nil, fmt.Errorf("%s.owner: write it at volumes.%s", at, m.Source)
				}
				v, owner := &out.Volumes[paths[m.Source]], service(m.Owner)
				if v.Owner != "" && v.Owner != owner {
					return nil, fmt.Errorf("%s.owner: the folder has the owner %q already; keep one of them", at, v.Owner)
				}
				v.Owner = owner
			}
			s.Mounts = append(s.Mounts, Mount{Name: m.Source, Path: m.Target, ReadOnly: m.ReadOnly})
		}
		out.Services = append(out.Services, s)
	}
	return out, nil
}

// keys returns the keys of the services as they stand in the file.
func (c *compose) keys() []string {
	var out []string
	for _, k := range c.order {
		if _, ok := c.Services[k]; ok {
			out = append(out, k)
		}
	}
	if len(out) != len(c.Services) { // a key that YAML reads as a number of another form
		return sortedKeys(c.Services)
	}
	return out
}
