package rules

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/baetyl/baetyl/master/engine/folder"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/conf"
)

// everywhere are the rules of single services in both modes.
var everywhere = []rule{nul, restart, coreTime, rights}

// nul finds texts that cannot be given to a program: the system ends them at the zero byte.
func nul(s app.Service, _ *app.Config) []string { return zeros("", reflect.ValueOf(s)) }

// zeros returns the keys below at whose value, or name, has a zero byte.
func zeros(at string, v reflect.Value) (out []string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			return zeros(at, v.Elem())
		}
	case reflect.String:
		if i := strings.IndexByte(v.String(), 0); i >= 0 {
			const text = "%s: byte %d is a NUL, and no program can be given one; leave it out"
			return []string{fmt.Sprintf(text, at, i+1)}
		}
	case reflect.Slice:
		for i := range v.Len() {
			out = append(out, zeros(fmt.Sprintf("%s[%d]", at, i), v.Index(i))...)
		}
	case reflect.Map:
		names := v.MapKeys()
		slices.SortFunc(names, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, n := range names {
			key := below(at, strconv.Quote(n.String()))
			if !strings.ContainsRune(n.String(), 0) {
				key = below(at, n.String())
			}
			out = append(out, zeros(key, n)...)
			out = append(out, zeros(key, v.MapIndex(n))...)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			name, options, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
			switch {
			case options == "inline":
				out = append(out, zeros(at, v.Field(i))...)
			case v.Type().Field(i).IsExported():
				out = append(out, zeros(below(at, name), v.Field(i))...)
			}
		}
	}
	return out
}

func below(at, name string) string { return strings.TrimPrefix(at+"."+name, ".") }

// restart finds what contradicts itself in when a service starts again.
func restart(s app.Service, _ *app.Config) (out []string) {
	b := s.Restart.Backoff
	if b.Min > b.Max {
		is := "which is"
		if b.Max == conf.Default[app.Backoff]().Max {
			is = "by default"
		}
		const text = "restart.backoff.min: %s is more than restart.backoff.max, %s %s; lower it, or raise that"
		out = append(out, fmt.Sprintf(text, b.Min, is, b.Max))
	}
	if s.Restart.Policy == app.RestartNo && s.Restart.Retry.Max > 0 {
		const text = "restart.policy: no, and restart.retry.max: %d, which counts restarts; " +
			"leave one of them out, or write policy: on-failure"
		out = append(out, fmt.Sprintf(text, s.Restart.Retry.Max))
	}
	return out
}

// coreTime finds more time of processors than the cores have that a service may use.
func coreTime(s app.Service, _ *app.Config) []string {
	cpu := s.Resources.CPU
	n := countCores(cpu.SetCPUs)
	if n == 0 || cpu.Cpus <= float64(n) {
		return nil
	}
	const text = "resources.cpu.cpus: %v is more than the cores that resources.cpu.setcpus, %q, names: %d; lower it, " +
		"or name more"
	return []string{fmt.Sprintf(text, cpu.Cpus, cpu.SetCPUs, n)}
}

// countCores returns how many cores a list such as 0-2,4 names; 0: none, or it is refused elsewhere.
func countCores(list string) int {
	named := map[int]bool{}
	for _, part := range strings.Split(list, ",") {
		first, last, ok := parseCores(part)
		if !ok {
			return 0
		}
		for c := first; c <= last; c++ {
			named[c] = true
		}
	}
	return len(named)
}

// inNative are the rules of single services in native mode alone.
var inNative = []rule{root, unchecked}

// unchecked: docker may find a check in the image, which native mode does not have.
func unchecked(s app.Service, c *app.Config) (out []string) {
	for i, d := range s.DependsOn {
		on, err := c.Service(d.Service)
		if err == nil && d.Condition == app.ConditionHealthy && len(on.Healthcheck.Probes(true)) == 0 {
			const text = "depends_on[%d].condition: healthy, and the healthcheck of service %s has no probe that native mode " +
				"could make; give it one, such as tcp, or take condition: started"
			out = append(out, fmt.Sprintf(text, i, d.Service))
		}
	}
	return out
}

// root: every native service is hardened but one that is root.
func root(s app.Service, _ *app.Config) []string {
	user, _, _ := strings.Cut(s.User, ":")
	if s.Hardened == nil || !*s.Hardened || user != "root" && user != "0" {
		return nil
	}
	const text = "hardened: true, and user: %s, who can do everything in native mode; leave one of them out"
	return []string{fmt.Sprintf(text, s.User)}
}

// masters are folders of the master that a service could become the master with, below its working directory.
var masters = []struct{ path, what string }{
	{"bin", "the program of the master"},
	{"etc/baetyl", "the configuration of the master"},
}

// ofMaster finds volumes that give a service what the master starts with. An agent has the right to replace that, and
// the way for it is an update.
func ofMaster(c *app.Config) (out []string) {
	for i, v := range c.Volumes {
		path, err := app.CleanPath(v.Path)
		if v.Managed() || err != nil {
			continue
		}
		for _, m := range masters {
			if !folder.Within(path, m.path) && !(folder.Within(m.path, path) && path != ".") {
				continue
			}
			for _, s := range c.Services {
				if j := slices.IndexFunc(s.Mounts, func(x app.Mount) bool { return x.Name == v.Name && !x.ReadOnly }); j >= 0 {
					const text = "volumes[%d].path: %q holds %s, which service %s could replace by mounts[%d]; " +
						"take a folder below var/db/baetyl, or write readonly: true there"
					out = append(out, fmt.Sprintf(text, i, v.Path, m.what, s.Name, j))
					break
				}
			}
		}
	}
	return out
}

// ofMode returns the rules of single services for a mode.
func ofMode(mode string) []rule {
	if mode == masterapi.ModeDocker {
		return slices.Concat(everywhere, inDocker)
	}
	return slices.Concat(everywhere, inNative)
}
