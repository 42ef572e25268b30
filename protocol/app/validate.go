package app

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"sort"
	"strings"
)

var (
	nameRule    = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]*$`) // {0,63} would cost 70 KB at each start
	envRule     = regexp.MustCompile(`^[^=\x00]+$`)
	setCPUsRule = regexp.MustCompile(`^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$`)
)

// maxServices, like the limit of replica, keeps a wrong file from filling the device.
const maxServices = 1000

// CheckName tells whether name may be used for a service, a volume or a network: such names become parts of paths.
func CheckName(name string) error {
	if len(name) <= 64 && nameRule.MatchString(name) {
		return nil
	}
	return fmt.Errorf("name %q: use 1 to 64 letters, digits, '_' and '-', and start with a letter or digit", name)
}

// Validate checks everything that can be known without a host. The first error starts with its key path.
func (c *Config) Validate() error {
	if len(c.Services) > maxServices {
		return fmt.Errorf("services: must have at most %d entries; found %d", maxServices, len(c.Services))
	}
	volumes := map[string]Volume{}
	for i, v := range c.Volumes {
		at := fmt.Sprintf("volumes[%d]", i)
		if err := v.check(); err != nil {
			return fmt.Errorf("%s.%w", at, err)
		}
		if _, ok := volumes[v.Name]; ok {
			return fmt.Errorf("%s.name: volume %q stands twice; names must be unique", at, v.Name)
		}
		volumes[v.Name] = v
	}
	if err := c.checkNetworks(); err != nil {
		return err
	}
	index := map[string]int{}
	for i, s := range c.Services {
		at := fmt.Sprintf("services[%d]", i)
		if err := CheckName(s.Name); err != nil {
			return fmt.Errorf("%s.name: %w", at, err)
		}
		if first, ok := index[s.Name]; ok {
			return fmt.Errorf("%s.name: service %q is already services[%d]; names must be unique", at, s.Name, first)
		}
		index[s.Name] = i
		if err := s.check(volumes, c.Networks); err != nil {
			return fmt.Errorf("%s (%s).%w", at, s.Name, err)
		}
	}
	for i, v := range c.Volumes {
		if err := checkOwner(v.Owner, index); err != nil {
			return fmt.Errorf("volumes[%d] (%s).%w", i, v.Name, err)
		}
	}
	if err := c.checkDependencies(index); err != nil {
		return err
	}
	if err := c.checkAddresses(); err != nil {
		return err
	}
	_, err := Order(c.Services)
	return err
}

func (v Volume) check() error {
	if v.Managed() {
		if v.Driver == "" {
			return errors.New("path: must not be empty; write a folder relative to the working directory")
		}
		return CheckName(v.Name)
	}
	if v.Name != v.Path { // a host path of the compose form is its own name
		if err := CheckName(v.Name); err != nil {
			return fmt.Errorf("name: %w", err)
		}
	}
	if _, err := CleanPath(v.Path); err != nil {
		return fmt.Errorf("path: %w", err)
	}
	return nil
}

// CleanPath returns p as a path relative to the folder that it must stay in; a leading slash means that folder. "."
// is the folder itself. A ".." is an error and is not resolved, since it shows that another folder was meant.
func CleanPath(p string) (string, error) {
	if p == "" {
		return "", errors.New("must not be empty")
	}
	if strings.ContainsRune(p, 0) {
		return "", fmt.Errorf("path %q contains a NUL", p)
	}
	for _, part := range strings.Split(p, "/") {
		if part == ".." {
			return "", fmt.Errorf("path %q: '..' is not allowed", p)
		}
	}
	if p = path.Clean("/" + p)[1:]; p == "" {
		p = "."
	}
	return p, nil
}

func (s Service) check(volumes map[string]Volume, networks map[string]Network) error {
	if strings.TrimSpace(s.Image) == "" {
		return errors.New("image: must not be empty")
	}
	targets := map[string]bool{}
	for i, m := range s.Mounts {
		at := fmt.Sprintf("mounts[%d]", i)
		if _, ok := volumes[m.Name]; !ok {
			return fmt.Errorf("%s.name: there is no volume %q; add it to volumes", at, m.Name)
		}
		target, err := CleanPath(m.Path)
		if err != nil {
			return fmt.Errorf("%s.path: %w", at, err)
		}
		if target == "." {
			return fmt.Errorf("%s.path: %q is the whole directory of the service", at, m.Path)
		}
		if targets[target] {
			return fmt.Errorf("%s.path: %q is mounted twice", at, m.Path)
		}
		targets[target] = true
	}
	if err := s.checkTmpfs(targets); err != nil {
		return err
	}
	if err := s.Container.check(); err != nil {
		return err
	}
	for i, p := range s.Ports {
		if _, err := ParsePorts(p); err != nil {
			return fmt.Errorf("ports[%d]: %w", i, err)
		}
	}
	for i, d := range s.Devices {
		if _, err := ParseDevice(d); err != nil {
			return fmt.Errorf("devices[%d]: %w", i, err)
		}
	}
	if s.NetworkMode != "" && len(s.Networks) > 0 {
		return errors.New("network_mode: 'network_mode' and 'networks' cannot be combined; leave one of them out")
	}
	for _, n := range s.Networks.Names() {
		if _, ok := networks[n]; !ok && n != DefaultNetwork {
			return fmt.Errorf("networks: there is no network %q; add it to networks", n)
		}
	}
	for _, k := range sortedKeys(s.Env) {
		if !envRule.MatchString(k) || strings.ContainsRune(s.Env[k], 0) {
			return fmt.Errorf("env: %q is not a name and value of an environment variable", k)
		}
	}
	if err := checkRights(s.API); err != nil {
		return err
	}
	if err := checkAccept(s.AcceptEnv); err != nil {
		return err
	}
	if s.User != "" {
		if _, err := ParseAccount(s.User); err != nil {
			return fmt.Errorf("user: %w", err)
		}
	}
	if cores := s.Resources.CPU.SetCPUs; cores != "" && !setCPUsRule.MatchString(cores) {
		return fmt.Errorf("resources.cpu.setcpus: %q: write cores such as 0-2 or 0,3", cores)
	}
	return nil
}

// Order returns the services in the order of start: each after those that it depends on, otherwise as they stand.
func Order(services []Service) ([]Service, error) {
	byName := map[string]Service{}
	for _, s := range services {
		byName[s.Name] = s
	}
	const visiting, done = 1, 2
	state := map[string]int{}
	out := make([]Service, 0, len(services))
	var visit func(s Service, trail []string) error
	visit = func(s Service, trail []string) error {
		trail = append(trail, s.Name)
		switch state[s.Name] {
		case done:
			return nil
		case visiting:
			return fmt.Errorf("services: depends_on is a circle: %s", strings.Join(trail, " -> "))
		}
		state[s.Name] = visiting
		for _, d := range s.DependsOn {
			if dep, ok := byName[d.Service]; ok {
				if err := visit(dep, trail); err != nil {
					return err
				}
			}
		}
		state[s.Name] = done
		out = append(out, s)
		return nil
	}
	for _, s := range services {
		if err := visit(s, nil); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
