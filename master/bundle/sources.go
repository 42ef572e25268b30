package bundle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"gopkg.in/yaml.v2"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/state"
)

const dataDir = "var/db/baetyl"

// sources are all items, the most important first: when there is no more room the oldest logs are missing. secrets are
// what files hold that a configuration names as secrets.
func sources(o Options) (items []item, secrets []string) {
	items = append(items,
		document("doctor.json", "baetyl doctor", o.Examination),
		file("conf.yml", o.Config, true),
		file("application.yml", filepath.Join(o.Workdir, dataDir, "application.yml"), true),
	)
	if o.Inspect != nil {
		items = append(items, document("inspect.json", "inspect", o.Inspect))
	}
	if len(o.Events) > 0 {
		items = append(items, document("events.json", "events", o.Events))
	}
	items = append(items, host()...)
	configs := []string{o.Config}
	for _, s := range o.Application.Services {
		for _, path := range configFiles(o, s) {
			configs = append(configs, path)
			items = append(items, file("services/"+s.Name+"/"+filepath.Base(path), path, true))
		}
	}
	for _, path := range configs {
		secrets = append(secrets, named(path)...)
	}
	items = append(items, files(o)...)
	items = append(items, file("ota.log", o.OTALog, false))
	return append(items, logs(o)...), secrets
}

// document is an item that is made here.
func document(name, from string, v any) item {
	return item{name: name, from: from, structured: true, read: func(context.Context) ([]byte, int64, error) {
		data, err := json.MarshalIndent(v, "", "  ")
		return data, int64(len(data)), err
	}}
}

// file is an item with the end of a file. It follows links, waits for no pipe, and reads no device.
func file(name, path string, structured bool) item {
	return item{name: name, from: path, structured: structured, read: func(context.Context) ([]byte, int64, error) {
		return tail(path, maxItem)
	}}
}

func tail(path string, limit int64) ([]byte, int64, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s is no file (%s)", path, info.Mode())
	}
	if skip := info.Size() - limit; skip > 0 {
		if _, err := f.Seek(skip, io.SeekStart); err != nil {
			return nil, 0, err
		}
	}
	data, err := io.ReadAll(io.LimitReader(f, limit)) // files of /proc have no size
	return data, info.Size(), err
}

// texts are the ends of names of configuration files. Keys and certificates are none.
var texts = []string{".yml", ".yaml", ".json", ".conf", ".cfg", ".ini", ".toml", ".properties", ".env"}

const maxConfigs = 50 // files of one service

// configFiles are the files of configuration that a service sees: those of the volumes that it mounts below etc.
func configFiles(o Options, s app.Service) (out []string) {
	for _, m := range s.Mounts {
		v := o.Application.Volume(m.Name)
		inside := strings.TrimPrefix(filepath.Clean(m.Path), "/")
		if v.Managed() || inside != "etc" && !strings.HasPrefix(inside, "etc/") {
			continue
		}
		out = append(out, find(filepath.Join(o.Workdir, v.Path), 3, maxConfigs-len(out), func(name string) bool {
			return slices.Contains(texts, filepath.Ext(name))
		})...)
	}
	return out
}

// find lists files below path, of at most some, with a name that is wanted. Links to folders are not followed.
func find(path string, depth, limit int, wanted func(name string) bool) (out []string) {
	info, err := os.Stat(path)
	if err == nil && info.Mode().IsRegular() && wanted(path) {
		return []string{path}
	}
	entries, _ := os.ReadDir(path) // what cannot be read has no files
	for _, e := range entries {
		at := filepath.Join(path, e.Name())
		switch {
		case len(out) >= limit:
			return out[:limit]
		case e.IsDir() && depth > 1:
			out = append(out, find(at, depth-1, limit-len(out), wanted)...)
		case !e.IsDir() && wanted(e.Name()):
			out = append(out, at)
		}
	}
	return out
}

// named are the secrets that a file of configuration says are in other files.
func named(path string) (out []string) {
	data, _, err := tail(path, conf.MaxSize)
	var v any
	if err != nil || yaml.Unmarshal(data, &v) != nil {
		return nil
	}
	var walk func(v any, depth int)
	walk = func(v any, depth int) {
		switch v := v.(type) {
		case map[any]any:
			for _, key := range []string{"file", "credential"} {
				name, ok := v[key].(string)
				if len(v) != 1 || !ok {
					continue
				}
				dir := filepath.Dir(path)
				if key == "credential" {
					dir = os.Getenv("CREDENTIALS_DIRECTORY")
				}
				if !filepath.IsAbs(name) {
					name = filepath.Join(dir, name)
				}
				if secret, _, err := tail(name, conf.MaxSecret); err == nil {
					out = append(out, string(secret))
				}
			}
			for _, value := range v {
				if depth < 50 {
					walk(value, depth+1)
				}
			}
		case []any:
			for _, value := range v {
				if depth < 50 {
					walk(value, depth+1)
				}
			}
		}
	}
	walk(v, 0)
	return out
}

// files are the small files of the master.
func files(o Options) (items []item) {
	for _, path := range find(filepath.Join(o.Workdir, dataDir), 1, 100, func(name string) bool {
		return !slices.Contains([]string{"application.yml", "application.last", "ota.log"}, name) &&
			!strings.HasPrefix(name, ".")
	}) {
		if info, err := os.Stat(path); err == nil && info.Size() <= 1<<20 {
			items = append(items, file("state/"+filepath.Base(path), path, true))
		}
	}
	for _, path := range find(filepath.Join(o.Workdir, dataDir, "history"), 2, 100, func(string) bool { return true }) {
		rel, _ := filepath.Rel(filepath.Join(o.Workdir, dataDir), path)
		items = append(items, file(rel, path, true))
	}
	items = append(items, last(filepath.Join(o.Workdir, dataDir, "application.last")))
	return append(items, file("state/instances.json", filepath.Join(o.Workdir, "var/run/baetyl/instances.json"), true))
}

// last is the last good application as text: in its file it is base64, in which no key says what is a secret.
func last(path string) item {
	return item{name: "state/application.last.yml", from: path, structured: true,
		read: func(context.Context) ([]byte, int64, error) {
			data, _, err := tail(path, state.MaxSize)
			var kept struct {
				Data []byte `json:"data"`
			}
			if err == nil {
				err = json.Unmarshal(data, &kept)
			}
			return kept.Data, int64(len(kept.Data)), err
		}}
}

// logs are the logs of master and services, the newest first.
func logs(o Options) (items []item) {
	type log struct {
		name, path string
		at         time.Time
	}
	var list []log
	seen := map[string]bool{}
	take := func(root, as string) {
		for _, path := range find(root, 4, maxFiles, func(name string) bool { return !strings.HasSuffix(name, ".gz") }) {
			info, err := os.Stat(path)
			rel, err2 := filepath.Rel(root, path)
			if errors.Join(err, err2) != nil || seen[path] || !info.Mode().IsRegular() {
				continue
			}
			seen[path] = true
			list = append(list, log{filepath.Join(as, rel), path, info.ModTime()})
		}
	}
	take(filepath.Join(o.Workdir, "var/log/baetyl"), "logs")
	for _, s := range o.Application.Services {
		for _, m := range s.Mounts {
			inside := strings.TrimPrefix(filepath.Clean(m.Path), "/")
			if v := o.Application.Volume(m.Name); !v.Managed() && strings.HasPrefix(inside+"/", "var/log/") {
				take(filepath.Join(o.Workdir, v.Path), "logs/of-"+s.Name)
			}
		}
	}
	if o.LogFile != "" {
		dir, base := filepath.Split(o.LogFile)
		entries, _ := os.ReadDir(dir) // where it is not there, it has no files
		for _, e := range entries {
			if info, err := e.Info(); err == nil && strings.HasPrefix(e.Name(), strings.TrimSuffix(base, filepath.Ext(base))) &&
				info.Mode().IsRegular() && !seen[dir+e.Name()] {
				list = append(list, log{"logs/master/" + e.Name(), dir + e.Name(), info.ModTime()})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b log) int { return b.at.Compare(a.at) })
	for _, l := range list {
		items = append(items, file(l.name, l.path, false))
	}
	return items
}
