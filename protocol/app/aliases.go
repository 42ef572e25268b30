package app

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"

	"gopkg.in/yaml.v2"

	"github.com/baetyl/baetyl/utils/conf"
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

// Form implements conf.Former.
func (*Aliases) Form() string {
	return "a list of names, or a mapping of names to aliases and ipv4_address"
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
	var items yaml.MapSlice
	if err := unmarshal(&items); err != nil {
		return err
	}
	for _, item := range items {
		options, ok := item.Value.(yaml.MapSlice)
		if !ok && item.Value != nil {
			return below(item.Key, fmt.Errorf("expected a mapping of %s", strings.Join(known, " and ")))
		}
		if err := strict(options, known...); err != nil {
			return below(item.Key, err)
		}
	}
	return nil
}

// strict returns an error with the path of the first key that is not known.
func strict(item yaml.MapSlice, known ...string) error {
	for _, kv := range item {
		if name, ok := kv.Key.(string); !ok || !slices.Contains(known, name) {
			return below(kv.Key, fmt.Errorf("unknown key; known here: %s", strings.Join(known, ", ")))
		}
	}
	return nil
}

// below puts key before the path of err.
func below(key any, err error) error {
	path := fmt.Sprint(key)
	if inner := new(conf.Error); errors.As(err, &inner) {
		path, err = path+"."+inner.Path, inner.Err
	}
	return &conf.Error{Path: path, Err: err}
}
