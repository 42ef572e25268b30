package master_test

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master"
	"github.com/baetyl/baetyl/master/application"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/log"
)

// reloaded is a master that has a configuration file, and what it applies of it.
type reloaded struct {
	*device
	*master.Master
	applied []master.Config
}

func newReloaded(t *testing.T, conf string, opts master.Options) *reloaded {
	r := &reloaded{device: newDevice(t)}
	r.write(t, master.ConfigFile, conf)
	opts.Workdir, opts.Config, opts.Log = r.dir, r.path(master.ConfigFile), log.Discard()
	opts.Apply = func(c master.Config) { r.applied = append(r.applied, c) }
	cfg, err := master.LoadConfig(opts.Config)
	require.NoError(t, err)
	r.Master, err = master.New(cfg, r.fake, opts)
	require.NoError(t, err)
	return r
}

const plain = "mode: native\nserver: {address: 'unix://var/run/baetyl.sock'}\n"

// Each key is named once, with what it takes for its new value to hold.
func TestReloadNamesWhatHasChanged(t *testing.T) {
	type out = masterapi.Reloaded
	cases := map[string]out{
		"mode: docker":                           {FullRestart: []string{"mode"}},
		"docker: {pull: {policy: never}}":        {Effective: []string{"docker.pull.policy"}},
		"docker: {pull: {timeout: 1m}}":          {Effective: []string{"docker.pull.timeout"}},
		"docker: {hardened: true}":               {Effective: []string{"docker.hardened"}},
		"docker: {prune: {unused: 1h}}":          {Effective: []string{"docker.prune.unused"}},
		"docker: {prune: {disk: 50%}}":           {Effective: []string{"docker.prune.disk"}},
		"docker: {pull: {parallel: 9}}":          {Effective: []string{"docker.pull.parallel"}},
		"native: {users: 80000-84999}":           {FullRestart: []string{"native.users"}},
		"server: {address: 'unix://other.sock'}": {FullRestart: []string{"server.address"}},
		"server: {timeout: 1m}":                  {Restart: []string{"server.timeout"}},
		"server: {insecure: true}":               {Restart: []string{"server.insecure"}},
		"server: {group: operators}":             {Restart: []string{"server.group"}},
		"server: {address: 'tcp://:1', cert: a, key: b}": {
			Restart: []string{"server.key"}, FullRestart: []string{"server.address", "server.cert"},
		},
		"server: {address: 'https://:1', cert: a, key: b, ca: c}": {
			Restart: []string{"server.ca", "server.key"}, FullRestart: []string{"server.address", "server.cert"},
		},
		"logger: {path: x.log}":      {Effective: []string{"logger.path"}},
		"logger: {level: debug}":     {Effective: []string{"logger.level"}},
		"logger: {format: json}":     {Effective: []string{"logger.format"}},
		"logger: {age: {max: 3}}":    {Effective: []string{"logger.age.max"}},
		"logger: {size: {max: 3}}":   {Effective: []string{"logger.size.max"}},
		"logger: {backup: {max: 3}}": {Effective: []string{"logger.backup.max"}},
		"otalog: {path: x}":          {Restart: []string{"otalog.path"}},
		"otalog: {level: debug}":     {Restart: []string{"otalog.level"}},
		"otalog: {format: text}":     {Restart: []string{"otalog.format"}},
		"otalog: {age: {max: 3}}":    {Restart: []string{"otalog.age.max"}},
		"otalog: {size: {max: 3}}":   {Restart: []string{"otalog.size.max"}},
		"otalog: {backup: {max: 3}}": {Restart: []string{"otalog.backup.max"}},
		"update: {healthy: 1m}":      {Effective: []string{"update.healthy"}},
		"update: {deadline: 1m}":     {Effective: []string{"update.deadline"}},
		"grace: 1m":                  {Effective: []string{"grace"}},
		"metrics: {address: '[::1]:1', cert: a, key: b, ca: c, hosts: [d], insecure: true}": {Effective: []string{
			"metrics.address", "metrics.ca", "metrics.cert", "metrics.hosts", "metrics.insecure", "metrics.key"}},
		"history: {max: 5}":                {Restart: []string{"history.max"}},
		"history: {size: 1m}":              {Restart: []string{"history.size"}},
		"snfile: sn":                       {FullRestart: []string{"snfile"}},
		"grace: 1m\nlogger: {level: warn}": {Effective: []string{"grace", "logger.level"}},
		"":                                 {},
		"grace: 30s":                       {},
	}
	var named []string
	for change, want := range cases {
		conf := plain
		for _, section := range []string{"mode", "server"} { // a key twice is an error
			if strings.HasPrefix(change, section+":") {
				conf = strings.Join(slices.DeleteFunc(strings.SplitAfter(conf, "\n"), func(line string) bool {
					return strings.HasPrefix(line, section+":")
				}), "")
			}
		}
		if strings.HasPrefix(change, "server:") && !strings.Contains(change, "address") {
			change = strings.Replace(change, "}", ", address: 'unix://var/run/baetyl.sock'}", 1)
		}
		r := newReloaded(t, plain, master.Options{})
		r.write(t, master.ConfigFile, conf+change+"\n")
		got, err := r.Reload()
		require.NoError(t, err, change)
		require.Equal(t, want, got, change)
		named = slices.Concat(named, got.Effective, got.Restart, got.FullRestart)
	}
	for _, key := range keysOf("", reflect.TypeFor[master.Config]()) {
		require.Contains(t, named, key, "no case changes this key")
	}
}

// keysOf returns the keys of a configuration.
func keysOf(prefix string, typ reflect.Type) (keys []string) {
	for i := range typ.NumField() {
		f := typ.Field(i)
		key, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if key = strings.TrimPrefix(prefix+"."+key, "."); options == "inline" {
			key = prefix
		}
		if f.Type.Kind() == reflect.Struct && f.Type != reflect.TypeFor[engine.Users]() {
			keys = append(keys, keysOf(key, f.Type)...)
		} else {
			keys = append(keys, key)
		}
	}
	return keys
}

// What does not hold yet is named until it does; what is wrong changes nothing.
func TestReloadAgain(t *testing.T) {
	r := newReloaded(t, plain, master.Options{})
	reload := func(conf string) masterapi.Reloaded {
		r.write(t, master.ConfigFile, conf)
		out, err := r.Reload()
		require.NoError(t, err)
		return out
	}
	const changed = plain + "grace: 1m\nsnfile: sn\n"
	require.Equal(t, "in effect: grace; after a restart of everything: snfile", reload(changed).String())
	require.Equal(t, "after a restart of everything: snfile", reload(changed).String())
	require.Equal(t, time.Minute, r.applied[1].Grace)
	require.Empty(t, r.applied[1].SNFile, "it does not hold")

	r.write(t, master.ConfigFile, plain+"grace: 5m\nlogger: {levle: debug}\n")
	_, err := r.Reload()
	require.ErrorIs(t, err, masterapi.ErrRefused)
	require.ErrorContains(t, err, `conf.yml: logger.levle: unknown key; did you mean "level"?`)
	require.Len(t, r.applied, 2, "a wrong file takes effect")

	require.Equal(t, "in effect: grace", reload(plain).String(), "back to what runs")
	require.Equal(t, "nothing has changed", reload(plain).String())
}

// A grace that was reloaded is the one that a stop has.
func TestReloadedGraceHolds(t *testing.T) {
	r := newReloaded(t, plain+"grace: 1h\n", master.Options{})
	r.write(t, application.File,
		"services: [{name: f, image: i}, {name: probe, image: i, replica: 1, api: [start, stop]}]\n")
	r.fake.IgnoreStop()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx, r.api(t, r.Master)) }()
	defer func() { cancel(); require.NoError(t, <-done) }()
	c := r.client(t)
	r.write(t, master.ConfigFile, plain+"grace: 50ms\n")
	_, err := r.Reload()
	require.NoError(t, err)
	start := masterapi.PathInstance("f", "f.x", masterapi.ActionStart)
	require.NoError(t, c.Put(t.Context(), start, map[string]string{}, nil))
	stop := masterapi.PathInstance("f", "f.x", masterapi.ActionStop)
	require.NoError(t, c.Put(t.Context(), stop, nil, nil), "within the timeout of the client, 20 s")
}

// A restart is refused where it would end in nothing.
func TestRestart(t *testing.T) {
	r := newReloaded(t, plain, master.Options{})
	require.ErrorIs(t, r.Restart("me"), masterapi.ErrRefused)
	require.ErrorContains(t, r.Restart("me"), "without a keeper")

	var asked []string
	r = newReloaded(t, plain, master.Options{Restart: func(who string) error { asked = append(asked, who); return nil }})
	require.NoError(t, r.Restart("me"))
	r.write(t, master.ConfigFile, "mode: nativ\n")
	require.ErrorIs(t, r.Restart("me"), masterapi.ErrRefused)
	require.ErrorContains(t, r.Restart("me"), "check of the next master: ")
	r.write(t, master.ConfigFile, strings.Replace(plain, "native", "docker", 1))
	require.ErrorIs(t, r.Restart("me"), masterapi.ErrRefused)
	require.ErrorContains(t, r.Restart("me"), "mode has changed from native to docker")
	require.Equal(t, []string{"me"}, asked)
}
