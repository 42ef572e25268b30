package master

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// Of most keys a new master takes the new values. Of these, the present one does.
var atOnce = []string{"logger", "grace", "update", "docker", "metrics"}

// These have gone into the services that run: their environment, their users, the engine that holds them.
var withServices = []string{"mode", "native", "server.address", "server.cert", "snfile"}

// changes says what it takes to get from one configuration to another.
func changes(from, to Config) masterapi.Reloaded {
	var out masterapi.Reloaded
	for _, key := range differences("", reflect.ValueOf(from), reflect.ValueOf(to)) {
		switch {
		case isOf(key, atOnce):
			out.Effective = append(out.Effective, key)
		case isOf(key, withServices):
			out.FullRestart = append(out.FullRestart, key)
		default:
			out.Restart = append(out.Restart, key)
		}
	}
	return out
}

// reloaded is the configuration of a master that ran with from, and has read to.
func reloaded(from, to Config) Config {
	from.Logger, from.Grace, from.Update, from.Docker = to.Logger, to.Grace, to.Update, to.Docker
	from.Metrics = to.Metrics
	return from
}

// isOf tells whether key is one of the sections or lies in one.
func isOf(key string, sections []string) bool {
	return slices.ContainsFunc(sections, func(s string) bool { return key == s || strings.HasPrefix(key, s+".") })
}

// differences returns the keys below prefix whose values differ, sorted. A struct without keys is one value.
func differences(prefix string, a, b reflect.Value) []string {
	var out []string
	keys := false
	for i := range a.NumField() {
		name, options, _ := strings.Cut(a.Type().Field(i).Tag.Get("yaml"), ",")
		if name == "" && options == "" {
			continue
		}
		keys = true
		key := strings.TrimPrefix(prefix+"."+name, ".")
		if options == "inline" {
			key = prefix
		}
		if a.Field(i).Kind() == reflect.Struct {
			out = append(out, differences(key, a.Field(i), b.Field(i))...)
		} else if !reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			out = append(out, key)
		}
	}
	if !keys && !reflect.DeepEqual(a.Interface(), b.Interface()) {
		out = append(out, prefix)
	}
	slices.Sort(out)
	return out
}

// Reload reads the configuration again: some keys take effect, and the others are named. A file that is wrong changes
// nothing: masterapi.ErrRefused.
func (m *Master) Reload() (masterapi.Reloaded, error) {
	m.reloading.Lock()
	defer m.reloading.Unlock()
	err := CheckPresent(m.opts.Workdir, m.opts.Config)
	var to Config
	if err == nil {
		to, err = LoadConfig(m.opts.Config)
	}
	if err != nil {
		return masterapi.Reloaded{}, fmt.Errorf("%w: read the configuration: %w", masterapi.ErrRefused, err)
	}
	out := changes(m.running, to)
	m.running = reloaded(m.running, to)
	m.apply(m.running)
	l := m.opts.Log
	for key, keys := range map[string][]string{
		"effective": out.Effective, "restart": out.Restart, "full_restart": out.FullRestart,
	} {
		if len(keys) > 0 {
			l = l.WithField(key, strings.Join(keys, ","))
		}
	}
	l.Infof("configuration read again: %s", out)
	m.events.Add(masterapi.EventMasterReloaded, "", "", "configuration read again: "+out.String(), nil)
	return out, nil
}

// apply sets what a running master can change.
func (m *Master) apply(c Config) {
	m.services.SetGrace(c.Grace)
	m.updater.SetTimes(c.Update.Healthy, c.Update.Deadline)
	m.metrics.Set(metricsOf(c, m.opts.Workdir))
	if m.opts.Apply != nil {
		m.opts.Apply(c)
	}
}

// Restart begins to replace the master, and nothing else. It refuses when the next master could not start.
func (m *Master) Restart(who string) error {
	if m.opts.Restart == nil {
		const text = "%w: this master runs without a keeper, which would start the next one: stop and start it instead"
		return fmt.Errorf(text, masterapi.ErrRefused)
	}
	err := CheckPresent(m.opts.Workdir, m.opts.Config)
	var to Config
	if err == nil {
		to, err = Check(m.opts.Workdir, m.opts.Config)
	}
	if err != nil {
		return fmt.Errorf("%w: check of the next master: %w", masterapi.ErrRefused, err)
	}
	if to.Mode != m.cfg.Mode {
		const text = "%w: mode has changed from %s to %s, which ends all services: stop and start everything instead"
		return fmt.Errorf(text, masterapi.ErrRefused, m.cfg.Mode, to.Mode)
	}
	return m.opts.Restart(who)
}

// StopAll begins to stop everything, and to end this master.
func (m *Master) StopAll(who string) error { return m.opts.Stop(who) }
