package app

import (
	"fmt"
	"sort"

	"gopkg.in/yaml.v2"
)

// Aliases are the networks of a service by name. In a file they are a list of names, or a mapping of names to options.
type Aliases map[string]Alias

// Alias says how a service is known in a network.
type Alias struct {
	Aliases     []string `yaml:"aliases,omitempty" json:"aliases,omitempty"`
	IPv4Address string   `yaml:"ipv4_address,omitempty" json:"ipv4_address,omitempty"`
}

// Names returns the networks in order, so that the same file always gives the same container.
func (a Aliases) Names() []string {
	names := make([]string, 0, len(a))
	for n := range a {
		names = append(names, n)
	}
	sort.Strings(names)
	return names
}

// UnmarshalYAML reads both forms. YAML takes n, on and yes for truth values, hence the check of the type.
func (a *Aliases) UnmarshalYAML(unmarshal func(any) error) error {
	var node any
	if err := unmarshal(&node); err != nil {
		return err
	}
	out := Aliases{}
	switch node.(type) {
	case nil:
	case []any:
		var list []any
		if err := unmarshal(&list); err != nil {
			return err
		}
		for _, e := range list {
			name, ok := e.(string)
			if !ok {
				return fmt.Errorf("expected names of networks, found %v; write it in quotes", e)
			}
			out[name] = Alias{}
		}
	case map[any]any:
		if err := strictItems(unmarshal, "aliases", "ipv4_address"); err != nil {
			return err
		}
		var m map[string]Alias
		if err := unmarshal(&m); err != nil {
			return fmt.Errorf("expected a list of names, or a mapping of names to aliases and ipv4_address")
		}
		out = m
	default:
		return fmt.Errorf("expected a list or a mapping of networks, found %v", node)
	}
	*a = out
	return nil
}

// strictItems refuses unknown keys in the values of a mapping, which conf does not see behind an UnmarshalYAML.
func strictItems(unmarshal func(any) error, known ...string) error {
	var items map[string]yaml.MapSlice
	if err := unmarshal(&items); err != nil {
		return err
	}
	for name, item := range items {
		if err := strict(item, known...); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func strict(item yaml.MapSlice, known ...string) error {
next:
	for _, kv := range item {
		for _, k := range known {
			if kv.Key == k {
				continue next
			}
		}
		return fmt.Errorf("unknown key %v; known here: %v", kv.Key, known)
	}
	return nil
}
