package application

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sort"
	"strings"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/app"
)

// Plan is what an update does to the services. A service whose definition changed stands in Stop and in Start.
type Plan struct {
	Stop  []Change // of the old application
	Keep  []string // names; process and token stay
	Start []Change // of the new application, in the order of start
}

// Change is a service and why it is stopped or started.
type Change struct {
	Service app.Service
	Reason  string // for the log
}

// Started are the names of the services that the plan starts.
func (p Plan) Started() []string {
	var names []string
	for _, c := range p.Start {
		names = append(names, c.Service.Name)
	}
	return names
}

// Diff compares two valid applications. A service is kept when its definition, its volumes and its networks are the
// same; where it stands in the file is no reason to restart it.
func Diff(old, new *app.Config) (Plan, error) { return DiffImages(old, new, nil, nil) }

// DiffImages is Diff for an engine with images: a service is started anew, too, when the name of its image was another
// one than it is. One that is not known on both sides is no reason.
func DiffImages(old, new *app.Config, was, is map[string]engine.Image) (Plan, error) {
	var p Plan
	before := map[string]app.Service{}
	for _, s := range old.Services {
		before[s.Name] = s
	}
	kept := map[string]bool{}
	order, err := app.Order(new.Services)
	if err != nil {
		return Plan{}, err
	}
	for _, s := range order {
		earlier, ok := before[s.Name]
		if !ok {
			p.Start = append(p.Start, Change{s, "new"})
			continue
		}
		reason := whatChanged(old, new, earlier, s)
		if reason == "" {
			reason = whatMoved(s.Image, was, is)
		}
		if reason == "" {
			kept[s.Name] = true
			p.Keep = append(p.Keep, s.Name)
			continue
		}
		p.Stop = append(p.Stop, Change{earlier, reason})
		p.Start = append(p.Start, Change{s, reason})
		delete(before, s.Name)
	}
	for _, s := range old.Services {
		if _, ok := before[s.Name]; ok && !kept[s.Name] {
			p.Stop = append(p.Stop, Change{s, "removed"})
		}
	}
	return p, nil
}

// whatChanged names the keys, volumes and networks that differ; it is empty when the service can be kept.
func whatChanged(old, new *app.Config, a, b app.Service) string {
	var reasons []string
	if keys := differing(a, b); len(keys) > 0 {
		reasons = append(reasons, strings.Join(keys, ", "))
	}
	for _, m := range b.Mounts {
		if !same(old.Volume(m.Name), new.Volume(m.Name)) {
			reasons = append(reasons, "volume "+m.Name)
		}
	}
	before, after := old.NetworksOf(b), new.NetworksOf(b)
	for _, n := range b.NetworkNames() {
		if !same(before[n], after[n]) {
			reasons = append(reasons, "network "+n)
		}
	}
	if len(reasons) == 0 {
		return ""
	}
	return strings.Join(reasons, ", ") + " changed"
}

// whatMoved says that the name of an image means another one.
func whatMoved(name string, was, is map[string]engine.Image) string {
	a, b := was[name].ID, is[name].ID
	if a == "" || b == "" || a == b {
		return ""
	}
	return fmt.Sprintf("image %s is another one", name)
}

// differing returns the keys of the two definitions that differ. Their JSON is compared, in which an empty list and an
// absent one are the same.
func differing(a, b app.Service) []string {
	x, y := fields(a), fields(b)
	var out []string
	for k := range y {
		if !bytes.Equal(x[k], y[k]) {
			out = append(out, k)
		}
	}
	for k := range x {
		if _, ok := y[k]; !ok {
			out = append(out, k)
		}
	}
	sort.Strings(out)
	return out
}

func fields(s app.Service) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	if err := json.Unmarshal(encode(s), &out); err != nil {
		panic(fmt.Sprintf("decode own JSON: %s", err))
	}
	return out
}

func same(a, b any) bool { return bytes.Equal(encode(a), encode(b)) }

func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode validated application: %s", err))
	}
	return data
}
