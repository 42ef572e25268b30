package app

import (
	"encoding/json"
	"errors"
	"fmt"

	"gopkg.in/yaml.v2"
)

// Dependency is a service that starts before another one, and stops after it.
type Dependency struct {
	Service   string
	Condition Condition // for the start of the other one; empty: ConditionStarted
}

// Condition is what a service waits for before it starts.
type Condition string

// The conditions.
const (
	// it has been started, or could not be; this holds up the order, and nothing else
	ConditionStarted Condition = "started"
	// each of its replicas is healthy
	ConditionHealthy Condition = "healthy"
	// each of its replicas has ended by itself, with success, and is not started again
	ConditionStopped Condition = "stopped"
)

// conditions are their names, with those of compose.
var conditions = map[string]Condition{
	"started": ConditionStarted, "service_started": ConditionStarted,
	"healthy": ConditionHealthy, "service_healthy": ConditionHealthy,
	"stopped": ConditionStopped, "service_completed_successfully": ConditionStopped,
}

// Dependencies are those of a service. In a file they are a list of names and of mappings with service and condition,
// or as in compose a mapping of names to condition.
type Dependencies []Dependency

// On returns dependencies without a condition of their own.
func On(services ...string) (out Dependencies) {
	for _, s := range services {
		out = append(out, Dependency{Service: s})
	}
	return out
}

// Has tells whether service is one of d.
func (d Dependencies) Has(service string) bool {
	for _, one := range d {
		if one.Service == service {
			return true
		}
	}
	return false
}

// Form implements conf.Former.
func (*Dependencies) Form() string {
	return "a list of services, each a name or {service: name, condition: started|healthy|stopped}"
}

// UnmarshalYAML reads all forms.
func (d *Dependencies) UnmarshalYAML(unmarshal func(any) error) error {
	var node any
	if err := unmarshal(&node); err != nil {
		return err
	}
	switch node.(type) {
	case nil:
		return nil
	case []any:
		return d.list(unmarshal)
	case map[any]any:
		return d.mapping(unmarshal)
	}
	return fmt.Errorf("expected %s, found %v", d.Form(), node)
}

func (d *Dependencies) list(unmarshal func(any) error) error {
	var items []plainDependency
	if err := unmarshal(&items); err != nil {
		return err
	}
	for i, in := range items {
		one, err := in.dependency()
		if err != nil {
			return below(fmt.Sprintf("[%d]", i), err)
		}
		*d = append(*d, one)
	}
	return nil
}

// mapping reads compose's form. Its order is that of the file.
func (d *Dependencies) mapping(unmarshal func(any) error) error {
	if err := strictItems(unmarshal, "condition"); err != nil {
		return err
	}
	var items yaml.MapSlice
	if err := unmarshal(&items); err != nil {
		return err
	}
	for _, item := range items {
		in := plainDependency{service: item.Key}
		if options, _ := item.Value.(yaml.MapSlice); len(options) > 0 {
			in.condition = options[0].Value
		}
		one, err := in.dependency()
		if err != nil {
			return below(item.Key, err)
		}
		*d = append(*d, one)
	}
	return nil
}

// plainDependency is one entry as YAML has it.
type plainDependency struct{ service, condition any }

// UnmarshalYAML reads a name or a mapping.
func (p *plainDependency) UnmarshalYAML(unmarshal func(any) error) error {
	var items yaml.MapSlice
	if unmarshal(&items) != nil {
		return unmarshal(&p.service)
	}
	if err := strict(items, "service", "condition"); err != nil {
		return err
	}
	for _, item := range items {
		if item.Key == "service" {
			p.service = item.Value
		} else {
			p.condition = item.Value
		}
	}
	return nil
}

// dependency checks the types: YAML takes n, on and yes for truth values.
func (p plainDependency) dependency() (Dependency, error) {
	name, ok := p.service.(string)
	if !ok {
		return Dependency{}, fmt.Errorf("expected the name of a service, found %v; write it in quotes", p.service)
	}
	out := Dependency{Service: name}
	if p.condition == nil {
		return out, nil
	}
	known, ok := conditions[fmt.Sprint(p.condition)]
	if !ok {
		const form = "condition: must be one of started, healthy, stopped; found %q"
		return Dependency{}, fmt.Errorf(form, clip(fmt.Sprint(p.condition)))
	}
	if known != ConditionStarted {
		out.Condition = known
	}
	return out, nil
}

// MarshalJSON keeps the form of versions that knew names alone: the digest of a service is made of it.
func (d Dependency) MarshalJSON() ([]byte, error) { return json.Marshal(d.plain()) }

// MarshalYAML writes what UnmarshalYAML reads.
func (d Dependency) MarshalYAML() (any, error) { return d.plain(), nil }

func (d Dependency) plain() any {
	if d.Condition == "" || d.Condition == ConditionStarted {
		return d.Service
	}
	return map[string]string{"service": d.Service, "condition": string(d.Condition)}
}

// checkDependencies checks what each service waits for against the others. index is where a service stands.
func (c *Config) checkDependencies(index map[string]int) error {
	for i, s := range c.Services {
		seen := map[string]bool{}
		for j, d := range s.DependsOn {
			at := fmt.Sprintf("services[%d] (%s).depends_on[%d]", i, s.Name, j)
			n, ok := index[d.Service]
			if !ok {
				return fmt.Errorf("%s: there is no service %q; add it to services", at, d.Service)
			}
			if seen[d.Service] && s.DependsOn.conditional() {
				return fmt.Errorf("%s: %q stands twice; keep one of them", at, d.Service)
			}
			seen[d.Service] = true
			if err := d.possible(c.Services[n]); err != nil {
				return fmt.Errorf("%s.condition: %w", at, err)
			}
		}
	}
	return nil
}

// conditional tells whether any of d waits for more than the order.
func (d Dependencies) conditional() bool {
	for _, one := range d {
		if one.Condition != "" {
			return true
		}
	}
	return false
}

// possible tells why the condition can never hold for service on.
func (d Dependency) possible(on Service) error {
	if d.Condition == "" {
		return nil
	}
	if on.Replica == 0 {
		const text = "service %s has no replicas, so it never becomes %s; give it replica: 1, or take condition: started"
		return fmt.Errorf(text, on.Name, d.Condition)
	}
	switch d.Condition {
	case ConditionHealthy:
		if !on.Healthcheck.checks() {
			const text = "service %s has no healthcheck; give it one (in docker mode, healthcheck: {} is that of its image)"
			return fmt.Errorf(text, on.Name)
		}
	case ConditionStopped:
		if on.Restart.Policy == RestartAlways {
			return fmt.Errorf("service %s never stays stopped: its restart.policy is always; write no or on-failure", on.Name)
		}
	}
	return nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (d *Dependency) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, &d.Service) == nil {
		d.Condition = ""
		return nil
	}
	var in struct{ Service, Condition string }
	if err := json.Unmarshal(data, &in); err != nil {
		return err
	}
	if in.Service == "" {
		return errors.New("expected a name, or an object with service and condition")
	}
	d.Service, d.Condition = in.Service, Condition(in.Condition)
	return nil
}
