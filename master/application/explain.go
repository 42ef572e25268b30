package application

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/conf/line"
	"github.com/baetyl/baetyl/utils/redact"
)

// Limits of an explanation: reasons for each service, and bytes of each value.
const (
	maxReasons = 50
	maxValue   = 200
)

// Explain says what an update from old to new, which was read from data, would do to each service, and which values of
// new are why. What may be secret is left out. It changes nothing, and does not know what images are.
func Explain(old, new *app.Config, data []byte) (masterapi.Plan, error) {
	p, err := Diff(old, new)
	if err != nil {
		return masterapi.Plan{}, err
	}
	e := explainer{old: old, new: new, lines: line.Read(data), paths: pathsOf(new, line.Read(data))}
	out := masterapi.Plan{Version: new.Version, Services: []masterapi.PlannedChange{}}
	order, err := app.Order(new.Services)
	if err != nil {
		return masterapi.Plan{}, err
	}
	starts := map[string]string{}
	for _, c := range p.Start {
		starts[c.Service.Name] = c.Reason
	}
	for _, s := range order {
		change := masterapi.PlannedChange{Name: s.Name, Action: masterapi.ActionPlanKeep}
		if _, ok := starts[s.Name]; ok {
			change.Action = masterapi.ActionPlanStart
			if was, err := old.Service(s.Name); err == nil {
				change.Action, change.Reasons = masterapi.ActionPlanRestart, e.service(was, s)
			}
		}
		out.Services = append(out.Services, change)
	}
	for _, c := range p.Stop {
		if _, ok := starts[c.Service.Name]; !ok {
			out.Services = append(out.Services,
				masterapi.PlannedChange{Name: c.Service.Name, Action: masterapi.ActionPlanStop})
		}
	}
	out.Changed = len(p.Start)+len(p.Stop) > 0
	out.Volumes = e.named("volume", volumesOf(old), volumesOf(new))
	out.Networks = e.named("network", networksOf(old), networksOf(new))
	out.Images = e.named("image", imagesOf(old), imagesOf(new))
	return out, nil
}

// explainer finds the values that differ.
type explainer struct {
	old, new *app.Config
	lines    line.Lines
	paths    map[string]string // of services, volumes and networks of new: "service a" ─► services[0]
}

// pathsOf says where things stand in a file, which has one of two forms.
func pathsOf(c *app.Config, lines line.Lines) map[string]string {
	out := map[string]string{}
	add := func(what, name, list string, i int) {
		at := fmt.Sprintf("%s[%d]", list, i)
		if lines.Of(list+"."+name) > lines.Of(list) { // a mapping of names: the form of compose
			at = list + "." + name
		}
		out[what+" "+name] = at
	}
	for i, s := range c.Services {
		add("service", s.Name, "services", i)
	}
	for i, v := range c.Volumes {
		add("volume", v.Name, "volumes", i)
	}
	for name := range c.Networks {
		out["network "+name] = "networks." + name
	}
	return out
}

// service returns why a service is another one.
func (e explainer) service(was, is app.Service) []masterapi.PlanReason {
	out := e.values(e.paths["service "+is.Name], was, is)
	for _, m := range is.Mounts {
		if old, new := e.old.Volume(m.Name), e.new.Volume(m.Name); !same(old, new) {
			out = append(out, e.values(e.paths["volume "+m.Name], old, new)...)
		}
	}
	before, after := e.old.NetworksOf(is), e.new.NetworksOf(is)
	for _, n := range is.NetworkNames() {
		if !same(before[n], after[n]) {
			out = append(out, e.values(e.paths["network "+n], before[n], after[n])...)
		}
	}
	return bounded(out)
}

// named compares what has a name in the application.
func (e explainer) named(what string, was, is map[string]any) (out []masterapi.NamedChange) {
	names := maps.Clone(was)
	maps.Copy(names, is)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		old, before := was[name]
		new, after := is[name]
		switch {
		case !before:
			out = append(out, masterapi.NamedChange{Name: name, Action: masterapi.ActionAdded})
		case !after:
			out = append(out, masterapi.NamedChange{Name: name, Action: masterapi.ActionRemoved})
		case !same(old, new):
			out = append(out, masterapi.NamedChange{
				Name: name, Action: masterapi.ActionChanged, Reasons: bounded(e.values(e.paths[what+" "+name], old, new)),
			})
		}
	}
	return out
}

func volumesOf(c *app.Config) map[string]any {
	out := map[string]any{}
	for _, v := range c.Volumes {
		out[v.Name] = v
	}
	return out
}

func networksOf(c *app.Config) map[string]any {
	out := map[string]any{}
	for name, n := range c.Networks {
		out[name] = n
	}
	return out
}

func imagesOf(c *app.Config) map[string]any {
	out := map[string]any{}
	for _, s := range c.Services {
		out[s.Image] = s.Image
	}
	return out
}

// values returns what differs between two values of one type, which stand at path.
func (e explainer) values(path string, was, is any) []masterapi.PlanReason {
	var out []masterapi.PlanReason
	before, after := decoded(encode(was)), decoded(encode(is))
	shown := redact.Values(before, after)
	e.walk(path, pair{before, shown[0]}, pair{after, shown[1]}, &out)
	return out
}

// pair is a value of JSON, and what of it may be shown, which has the same keys and elements.
type pair struct{ value, shown any }

// key is what stands at a key of p.
func (p pair) key(k string) pair {
	value, _ := p.value.(map[string]any)
	shown, _ := p.shown.(map[string]any)
	return pair{value[k], shown[k]}
}

// item is an element of p.
func (p pair) item(i int) pair {
	return pair{p.value.([]any)[i], p.shown.([]any)[i]}
}

// walk compares two values of JSON.
func (e explainer) walk(path string, was, is pair, out *[]masterapi.PlanReason) {
	before, wasMap := was.value.(map[string]any)
	after, isMap := is.value.(map[string]any)
	if (wasMap || was.value == nil) && (isMap || is.value == nil) && (wasMap || isMap) { // what is absent has no keys
		keys, known := map[string]any{}, len(*out)
		maps.Copy(keys, before)
		maps.Copy(keys, after)
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			e.walk(join(path, k), was.key(k), is.key(k), out)
		}
		if len(*out) > known || len(keys) > 0 {
			return
		}
	}
	first, wasList := was.value.([]any)
	second, isList := is.value.([]any)
	if wasList && isList && len(first) == len(second) {
		for i := range first {
			e.walk(fmt.Sprintf("%s[%d]", path, i), was.item(i), is.item(i), out)
		}
		return
	}
	if !same(was.value, is.value) {
		reason := masterapi.PlanReason{Path: path, Old: text(was), New: text(is), Line: e.lines.Of(path)}
		*out = append(*out, reason)
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// bounded leaves out what nobody reads any more.
func bounded(in []masterapi.PlanReason) []masterapi.PlanReason {
	if len(in) <= maxReasons {
		return in
	}
	more := masterapi.PlanReason{Path: fmt.Sprintf("… %d more", len(in)-maxReasons)}
	return append(in[:maxReasons:maxReasons], more)
}

// text is what may be shown of a value, for people.
func text(p pair) string {
	if p.value == nil {
		return ""
	}
	out, ok := p.shown.(string)
	if !ok {
		out = string(encode(p.shown))
	}
	if len(out) > maxValue {
		out = strings.ToValidUTF8(out[:maxValue], "") + "…"
	}
	return out
}

func decoded(data []byte) (out any) {
	if err := json.Unmarshal(data, &out); err != nil {
		panic(fmt.Sprintf("decode own JSON: %s", err))
	}
	return out
}
