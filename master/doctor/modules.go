package doctor

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v2"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/addr"
)

// module is a file of configuration that a service reads, as far as it can be read without the service.
type module struct {
	service app.Service
	path    string
	value   map[any]any
}

const maxModule = 1 << 20

// modules are the files that a service reads: service.yml in a folder that it mounts at etc/baetyl.
func (o *Options) modules(s app.Service) (out []module) {
	for _, m := range s.Mounts {
		v := o.Application.Volume(m.Name)
		if v.Managed() || strings.TrimPrefix(filepath.Clean(m.Path), "/") != confDir {
			continue
		}
		if one, err := readModule(filepath.Join(o.Workdir, v.Path, "service.yml")); err == nil {
			one.service = s
			out = append(out, one)
		}
	}
	return out
}

func readModule(path string) (m module, err error) {
	m.path = path
	data, err := head(path, maxModule)
	if err == nil {
		err = yaml.Unmarshal(data, &m.value)
	}
	return m, err
}

// all are those of all services, and the configuration of the master.
func (o *Options) all() (out []module) {
	if m, err := readModule(o.Config); err == nil {
		out = append(out, m)
	}
	for _, s := range o.Application.Services {
		out = append(out, o.modules(s)...)
	}
	return out
}

// walk calls f with each mapping in v.
func walk(v any, depth int, f func(map[any]any)) {
	if depth > 50 {
		return
	}
	switch v := v.(type) {
	case map[any]any:
		f(v)
		byName := func(a, b any) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) }
		for _, k := range slices.SortedFunc(maps.Keys(v), byName) {
			walk(v[k], depth+1, f)
		}
	case []any:
		for _, item := range v {
			walk(item, depth+1, f)
		}
	}
}

// onHost is where a path that a service is told is on the host: by its mounts, or below the working directory.
func (o *Options) onHost(m module, path string) string {
	if m.service.Name == "" {
		return abs(o.Workdir, path)
	}
	inside := strings.TrimPrefix(filepath.Clean(path), "/")
	for _, mount := range m.service.Mounts {
		at := strings.TrimPrefix(filepath.Clean(mount.Path), "/")
		if rest, ok := strings.CutPrefix(inside, at); ok && (rest == "" || rest[0] == '/') {
			if v := o.Application.Volume(mount.Name); !v.Managed() {
				return filepath.Join(o.Workdir, v.Path, rest)
			}
		}
	}
	if filepath.IsAbs(path) && o.Mode == masterapi.ModeNative {
		return path
	}
	return "" // in a container, or not known
}

func abs(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// examples are the passwords in the documents of Baetyl, which everybody knows (baetyl-hub/auth knows them too).
var examples = []string{"hahaha"}

func checkPasswords(_ context.Context, o *Options) (out []masterapi.Finding) {
	for _, m := range o.all() {
		list, _ := m.value["principals"].([]any)
		open := reachable(m.value["listen"])
		for _, item := range list {
			p, _ := item.(map[any]any)
			password, given := p["password"].(string)
			name := fmt.Sprint(p["username"])
			switch {
			case slices.Contains(examples, password):
				severity := masterapi.SeverityInfo
				if open {
					severity = failed
				}
				out = append(out, one(severity, fmt.Sprintf("%s: user %s has a password out of the documents", m.path, name),
					"choose another one: principals[].password")...)
			case given && password == "":
				out = append(out, one(warning, fmt.Sprintf("%s: user %s has an empty password", m.path, name), "choose one")...)
			}
		}
		plain := false
		walk(m.value, 0, func(v map[any]any) {
			text, ok := v["password"].(string)
			plain = plain || ok && text != "" && !slices.Contains(examples, text) && !strings.HasPrefix(text, "$2")
		})
		if info, err := os.Stat(m.path); err == nil && plain && info.Mode().Perm()&0o004 != 0 {
			out = append(out, one(warning, m.path+" has a password, and everybody can read it",
				"chmod o-r, or write password: {file: …}")...)
		}
	}
	return or(out, ok("none is empty, or known to everybody"))
}

// reachable tells whether others than this host get to one of the addresses.
func reachable(v any) bool {
	list, _ := v.([]any)
	return slices.ContainsFunc(list, func(l any) bool {
		a, err := addr.Listen(fmt.Sprint(l), append([]string{"unix"}, addr.MQTT...)...)
		return err == nil && !a.Local()
	})
}

// checkNetwork asks for the names and ports of brokers and clouds.
func checkNetwork(ctx context.Context, o *Options) (out []masterapi.Finding) {
	if !o.Network {
		return nil
	}
	seen := map[string]bool{}
	for _, m := range o.all() {
		walk(m.value, 0, func(v map[any]any) {
			text, ok := v["address"].(string)
			a, err := addr.Dial(text, "1883", append([]string{"http", "https"}, addr.MQTT...)...)
			if !ok || err != nil || a.Local() || seen[a.Host] || ctx.Err() != nil || len(seen) >= 20 {
				return
			}
			seen[a.Host] = true
			c, err := (&net.Dialer{}).DialContext(ctx, "tcp", a.Host)
			if err != nil {
				out = append(out, one(failed, fmt.Sprintf("%s, which %s names: %s", a.Host, m.path, err),
					"check the network, DNS, the firewall, and the address")...)
				return
			}
			_ = c.Close()
		})
	}
	return or(out, ok("%d addresses answer", len(seen)))
}
