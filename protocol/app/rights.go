package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v2"
)

// Names of rights: what the token of a service allows it to ask of the master ("RESTful API").
const (
	RightInspect = "inspect" // the state of the system
	RightUpdate  = "update"  // another application, another master
	RightPorts   = "ports"   // a free port of the host
	RightStart   = "start"   // an instance on demand
	RightStop    = "stop"    // the same
	RightReport  = "report"  // for its own instances; no service may report for others
)

var rightNames = []string{RightInspect, RightUpdate, RightPorts, RightStart, RightStop, RightReport}

// Right is one entry of `api`: a name, or {start: [service…]} and {stop: [service…]}.
type Right struct {
	Name string // RightInspect, …
	// Of are the services of RightStart and RightStop. nil: those without replicas, which nobody starts otherwise
	Of []string
}

// Rights returns what the service may ask of the master: its `api`, also when that is empty, or else what the module
// that its image names is known to need.
func (s Service) Rights() []Right {
	if s.API != nil {
		return s.API
	}
	switch module(s.Image) {
	case "baetyl-function-manager", legacyFunctionManager:
		// it looks for what an earlier one has left
		return words(RightReport, RightInspect, RightStart, RightStop, RightPorts)
	case "baetyl-agent", legacyAgent:
		return words(RightReport, RightInspect, RightUpdate)
	}
	return words(RightReport)
}

func words(names ...string) (out []Right) {
	for _, n := range names {
		out = append(out, Right{Name: n})
	}
	return out
}

// Has tells whether rights have one of that name, of whichever services.
func Has(rights []Right, name string) bool {
	return slices.ContainsFunc(rights, func(r Right) bool { return r.Name == name })
}

// HasFor tells whether rights have one of that name, RightStart or RightStop, which is for the service target.
func HasFor(rights []Right, name string, target Service) bool {
	return slices.ContainsFunc(rights, func(r Right) bool {
		if r.Of == nil {
			return r.Name == name && target.Replica == 0
		}
		return r.Name == name && slices.Contains(r.Of, target.Name)
	})
}

// With returns rights and one more, RightStart and RightStop for the service target if that can be one.
func With(rights []Right, name, target string) []Right {
	out := slices.Clone(rights)
	if name != RightStart && name != RightStop || CheckName(target) != nil {
		return append(out, Right{Name: name})
	}
	for i, r := range out {
		if r.Name == name && r.Of != nil {
			out[i].Of = append(slices.Clone(r.Of), target)
			return out
		}
	}
	return append(out, Right{Name: name, Of: []string{target}})
}

// Line is rights as one line of application.yml.
func Line(rights []Right) string {
	entries := make([]string, 0, len(rights))
	for _, r := range rights {
		entries = append(entries, r.String())
	}
	return "api: [" + strings.Join(entries, ", ") + "]"
}

// String is the right as it stands in a list of YAML.
func (r Right) String() string {
	if r.Of == nil {
		return r.Name
	}
	names := make([]string, 0, len(r.Of))
	for _, n := range r.Of {
		data, err := yaml.Marshal(n) // n and 1 need quotes
		if err != nil {
			panic(fmt.Sprintf("encode text: %s", err))
		}
		names = append(names, strings.TrimSpace(string(data)))
	}
	return fmt.Sprintf("{%s: [%s]}", r.Name, strings.Join(names, ", "))
}

// Form implements conf.Former.
func (*Right) Form() string {
	return strings.Join(rightNames, ", ") + ", or start and stop with a list of services: {start: [name]}"
}

// UnmarshalYAML reads both forms.
func (r *Right) UnmarshalYAML(unmarshal func(any) error) error {
	var node any
	if err := unmarshal(&node); err != nil {
		return err
	}
	if _, ok := node.(map[any]any); !ok {
		if _, ok := node.([]any); ok {
			return fmt.Errorf("expected %s, found a list", r.Form())
		}
		*r = Right{Name: fmt.Sprint(node)}
		return r.check()
	}
	var items yaml.MapSlice
	if err := unmarshal(&items); err != nil {
		return err
	}
	if err := strict(items, RightStart, RightStop); err != nil {
		return err
	}
	if len(items) != 1 {
		return errors.New("must be one right; write each as an entry of its own: {start: [name]}, {stop: [name]}")
	}
	name := fmt.Sprint(items[0].Key)
	list, ok := items[0].Value.([]any)
	if !ok {
		return below(name, fmt.Errorf("expected a list of services, found %v; write {%s: [name]}", items[0].Value, name))
	}
	of := make([]string, 0, len(list))
	for _, e := range list {
		service, ok := e.(string)
		if !ok { // YAML takes n, on and yes for truth values
			return below(name, fmt.Errorf("expected names of services, found %v; write it in quotes", e))
		}
		of = append(of, service)
	}
	*r = Right{Name: name, Of: of}
	return r.check()
}

// MarshalYAML writes what UnmarshalYAML reads.
func (r Right) MarshalYAML() (any, error) { return r.plain(), nil }

// MarshalJSON keeps the form of versions that knew names alone: the digest of a service is made of it.
func (r Right) MarshalJSON() ([]byte, error) { return json.Marshal(r.plain()) }

func (r Right) plain() any {
	if r.Of == nil {
		return r.Name
	}
	return map[string][]string{r.Name: r.Of}
}

func (r Right) check() error {
	if !slices.Contains(rightNames, r.Name) {
		return fmt.Errorf("must be one of %s; found %q", strings.Join(rightNames, ", "), r.Name)
	}
	if r.Of == nil {
		return nil
	}
	if len(r.Of) == 0 {
		return fmt.Errorf("%s: names no service; name one, or leave the entry out", r.Name)
	}
	for i, name := range r.Of {
		if err := CheckName(name); err != nil {
			return fmt.Errorf("%s[%d]: %w", r.Name, i, err)
		}
		if slices.Index(r.Of, name) < i {
			return fmt.Errorf("%s[%d]: %q stands twice; keep one of them", r.Name, i, name)
		}
	}
	return nil
}

// renamed returns rights whose services have the names that service gives them.
func renamed(rights []Right, service func(string) string) []Right {
	for _, r := range rights {
		for i, name := range r.Of {
			r.Of[i] = service(name)
		}
	}
	return rights
}

// module is the name of an image without registry, path, tag and digest.
func module(image string) string {
	name := strings.TrimSpace(image)
	name = name[strings.LastIndexByte(name, '/')+1:]
	name, _, _ = strings.Cut(name, "@")
	name, _, _ = strings.Cut(name, ":")
	return name
}

// checkRights refuses a right that stands twice. One for services without replicas and one for named services are two.
func checkRights(rights []Right) error {
	for i, r := range rights {
		if err := r.check(); err != nil { // an entry without a value is read by nobody
			return fmt.Errorf("api[%d]: %w", i, err)
		}
		first := slices.IndexFunc(rights, func(o Right) bool { return o.Name == r.Name && (o.Of == nil) == (r.Of == nil) })
		switch {
		case first == i:
		case r.Of == nil:
			return fmt.Errorf("api[%d]: %q stands twice; keep one of them", i, r.Name)
		default:
			return fmt.Errorf("api[%d]: %q stands twice; write all services in one of them", i, r.Name)
		}
	}
	return nil
}
