package main

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/cloud"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/protocol/mqtt"
	"github.com/baetyl/baetyl/utils/file"
)

// What a device and a user see of an update, over real connections.
func TestUpdate(t *testing.T) {
	f := newFixture(t)
	f.serve()
	a := f.addDevice("dev1") // while it serves
	events := a.listen()
	dir := write(
		t,
		t.TempDir(),
		map[string]string{"application.yml": application, "agent-conf/service.yml": "x: 1", "agent-conf/run": "#!"},
	)
	trace := strings.TrimSpace(strings.TrimPrefix(f.run("push", "dev1", dir), "pushed as "))
	require.Equal(t, http.StatusOK, a.post(reported("v0", ""), nil))
	event := next(t, events)
	require.Equal(t, trace, event.OTA.Trace)
	require.Equal(t, masterapi.UpdateApp, event.OTA.Type)
	require.Equal(t, "v1", event.OTA.Version)
	require.NoError(t, event.OTA.Check())

	_, all := a.get(event.OTA.Volume.Meta.URL, "")
	status, rest := a.get(event.OTA.Volume.Meta.URL, "bytes=100-")
	require.Equal(t, http.StatusPartialContent, status)
	require.Equal(t, all[100:], rest)
	packed := filepath.Join(t.TempDir(), "app.zip")
	require.NoError(t, os.WriteFile(packed, []byte(all), 0o600))
	sum, err := file.MD5(packed)
	require.NoError(t, err)
	require.Equal(t, event.OTA.Volume.Meta.MD5, sum)
	parsed, err := app.Parse("application.yml", []byte(entry(t, packed, "application.yml")))
	require.NoError(t, err)
	conf, data := parsed.Volume("agent-conf"), parsed.Volume("data")
	require.Equal(t, "var/db/baetyl/agent-conf/"+conf.Meta.Version, conf.Path)
	require.Equal(t, app.Volume{Name: "data", Path: "var/db/baetyl/data"}, data)
	status, _ = a.get(conf.Meta.URL, "")
	require.Equal(t, http.StatusOK, status)

	// A step that is reported again is one step, whatever else is reported.
	for range 2 {
		require.Equal(t, http.StatusOK, a.post(reported("v1", trace, "RECEIVED", "UPDATED"), nil))
	}
	require.Equal(t, http.StatusOK, a.post(reported("v1\x1b[2J", "of-somebody-else", "FAILURE"), nil))
	shown := f.run("show")
	require.Contains(t, shown, "v1 [2J")
	require.Equal(t, 1, strings.Count(shown, "UPDATED"), shown)
	require.NotContains(t, shown, "FAILURE")

	// What did not change is the same package at the same path. This one the user waits for.
	waiting := make(chan string, 1)
	go func() {
		out, ok := f.try("push", "dev1", dir, "--version", "v2", "--wait")
		waiting <- fmt.Sprint(ok, out)
	}()
	event = next(t, events)
	require.Equal(t, http.StatusOK, a.post(reported("v1", event.OTA.Trace, "RECEIVED"), nil))
	require.Equal(t, http.StatusOK, a.post(reported("v1", event.OTA.Trace, "RECEIVED", "ROLLEDBACK"), nil))
	out := next(t, waiting)
	require.Regexp(t, `(?s)^false ?pushed as 000002-.*RECEIVED.*ROLLEDBACK.*the update ended with ROLLEDBACK`, out)
	require.Equal(t, "v2", event.OTA.Version)
	_, all = a.get(event.OTA.Volume.Meta.URL, "")
	require.NoError(t, os.WriteFile(packed, []byte(all), 0o600))
	parsed, err = app.Parse("application.yml", []byte(entry(t, packed, "application.yml")))
	require.NoError(t, err)
	require.Equal(t, "v2", parsed.Version)
	require.Equal(t, conf, parsed.Volume("agent-conf"))
}

// entry reads a file out of an archive.
func entry(t testing.TB, archive, name string) string {
	z, err := zip.OpenReader(archive)
	require.NoError(t, err)
	defer z.Close()
	r, err := z.Open(name)
	require.NoError(t, err)
	defer r.Close()
	data, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(data)
}

// An event that was published before the device had ever been there comes after its first reports.
func TestLateDevice(t *testing.T) {
	f := newFixture(t)
	a := f.addDevice("dev1")
	f.serve()
	f.run("push", "dev1", write(t, t.TempDir(), map[string]string{"application.yml": application}))
	eventually(t, "it is published", func() error {
		if out := f.run("show"); !strings.Contains(out, "sent") {
			return errors.New(out)
		}
		return nil
	})
	events := a.listen()
	eventually(t, "the event comes", func() error {
		require.Equal(t, http.StatusOK, a.post(reported("v0", ""), nil))
		select {
		case <-events:
			return nil
		case <-time.After(searchInterval):
			return errors.New("nothing")
		}
	})
}

// When an update is published, and again.
func TestDue(t *testing.T) {
	now := time.Now()
	ota := func(trace, kind string) cloud.OTA { return cloud.OTA{Trace: trace, Type: kind} }
	sent, step := &progress{Published: now}, &progress{Steps: []cloud.Progress{{Step: "RECEIVED"}}}
	for name, c := range map[string]struct {
		pushes  []cloud.OTA
		updates []*progress
		seen    time.Time
		want    string
	}{
		"nothing":                         {want: "[]"},
		"never published":                 {[]cloud.OTA{ota("1", "APP")}, []*progress{{}}, time.Time{}, "[1]"},
		"published, device away":          {[]cloud.OTA{ota("1", "APP")}, []*progress{sent}, now.Add(-time.Hour), "[]"},
		"published, device has just come": {[]cloud.OTA{ota("1", "APP")}, []*progress{sent}, now.Add(time.Second), "[]"},
		"published, device does not know": {[]cloud.OTA{ota("1", "APP")}, []*progress{sent}, now.Add(again + time.Second), "[1]"},
		"received": {[]cloud.OTA{ota("1", "APP")}, []*progress{step},
			now.Add(again + time.Second), "[]"},
		"the newest alone":                  {[]cloud.OTA{ota("1", "APP"), ota("2", "APP")}, []*progress{{}, {}}, now, "[2]"},
		"an older one that was passed over": {[]cloud.OTA{ota("1", "APP"), ota("2", "APP")}, []*progress{{}, step}, now, "[]"},
		"one of each type": {[]cloud.OTA{ota("1", "MST"), ota("2", "APP")}, []*progress{{}, {}}, now,
			"[1 2]"},
	} {
		t.Run(name, func(t *testing.T) {
			st := state{Updates: map[string]*progress{}, Reports: []report{{Time: c.seen}}}
			for i, p := range c.pushes {
				st.Updates[p.Trace] = c.updates[i]
			}
			got := []string{}
			for _, p := range due(c.pushes, st) {
				got = append(got, p.Trace)
			}
			require.Equal(t, c.want, fmt.Sprint(got))
		})
	}
}

// A device speaks for itself, and sees what is its own.
func TestDevicesAreApart(t *testing.T) {
	f := newFixture(t)
	one, two := f.addDevice("one"), f.addDevice("two")
	f.serve()
	dir := write(t, t.TempDir(), map[string]string{"application.yml": application})
	events := one.listen()
	f.run("push", "one", dir)
	event := next(t, events)
	status, _ := one.get(event.OTA.Volume.Meta.URL, "")
	require.Equal(t, http.StatusOK, status)
	status, _ = two.get(event.OTA.Volume.Meta.URL, "")
	require.Equal(t, http.StatusNotFound, status)
	for _, path := range []string{"", "..", "%2e%2e%2fcert.pem", "..%2f..%2ftwo%2fcert.pem", strings.Repeat("0", 64) +
		".zip"} {
		status, _ := one.get(one.url+packagesPath+path, "")
		require.Equal(t, http.StatusNotFound, status, path)
	}

	for name, c := range map[string]struct {
		status int
		change func(h http.Header, body *string)
	}{
		"client id of another": {http.StatusForbidden, func(h http.Header, _ *string) { h.Set(cloud.HeaderClientID, "one") }},
		"serial of another": {http.StatusForbidden,
			func(h http.Header, _ *string) { h.Set(cloud.HeaderSerial, cloud.Serial(one.cert)) }},
		"no key":  {http.StatusBadRequest, func(h http.Header, _ *string) { h.Del(cloud.HeaderKey) }},
		"no body": {http.StatusBadRequest, func(_ http.Header, body *string) { *body = "" }},
		"garbage": {http.StatusBadRequest, func(_ http.Header, body *string) { *body = "{}" }},
		"too large": {http.StatusRequestEntityTooLarge,
			func(_ http.Header, body *string) { *body = strings.Repeat("A", maxReport+1) }},
	} {
		require.Equal(t, c.status, two.post(reported("v1", ""), c.change), name)
	}
	require.Equal(t, http.StatusBadRequest, two.post("no object", nil))
	require.Contains(t, f.run("show", "two"), "never seen")

	// Over MQTT: not as another, not for another.
	require.NoError(t, subscribe(two.config))
	stranger := newFixture(t).addDevice("one")
	for name, change := range map[string]func(c *mqtt.ClientInfo){
		"name of another":        func(c *mqtt.ClientInfo) { c.Username = "one" },
		"name of the cloud":      func(c *mqtt.ClientInfo) { c.Username = publisher },
		"client id of another":   func(c *mqtt.ClientInfo) { c.ClientID = "one" },
		"client id of the cloud": func(c *mqtt.ClientInfo) { c.ClientID = publisher },
		"client id of nobody":    func(c *mqtt.ClientInfo) { c.ClientID = "three" },
		"topic of another":       func(c *mqtt.ClientInfo) { c.Subscriptions = one.config.Subscriptions; c.ValidateSubs = true },
		"no certificate":         func(c *mqtt.ClientInfo) { c.Cert, c.Key = "", "" },
		"certificate of another": func(c *mqtt.ClientInfo) { c.Cert, c.Key = one.config.Cert, one.config.Key },
		"another CA":             func(c *mqtt.ClientInfo) { c.Cert, c.Key = stranger.config.Cert, stranger.config.Key },
	} {
		c := two.config
		change(&c)
		require.Error(t, subscribe(c), name)
	}
	stranger.url = two.url
	_, err := stranger.client.Get(two.url + packagesPath)
	require.Error(t, err)

	f.run("device", "remove", "two")
	require.Equal(t, http.StatusForbidden, two.post(reported("v1", ""), nil))
	eventually(t, "the hub refuses the device", func() error {
		if subscribe(two.config) == nil {
			return errors.New("it is let in")
		}
		return nil
	})
	// The same name again is another device.
	f.addDevice("two")
	require.Equal(t, http.StatusForbidden, two.post(reported("v1", ""), nil))
}

func TestFolder(t *testing.T) {
	f := newFixture(t)
	f.refused("is there already", "init")
	for _, host := range []string{"cloud:8885", "https://cloud", ""} {
		f.refused("neither a name nor an address", "init", "--data", t.TempDir(), "--host", "localhost,"+host+",x")
	}
	keys, err := filepath.Glob(filepath.Join(f.dir, "*.key"))
	require.NoError(t, err)
	require.Len(t, keys, 3)
	a := f.addDevice("dev1")
	for _, path := range append(keys, a.config.Key) {
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode(), path)
	}
	for _, name := range []string{"../x", "", "a/b", publisher} {
		f.refused("device name", "device", "add", name, filepath.Join(t.TempDir(), "x"))
	}
	f.refused("already", "device", "add", "dev1", filepath.Join(t.TempDir(), "x"))
	f.refused("file exists", "device", "add", "dev2", t.TempDir())
	f.refused("there is no device dev2", "push", "dev2", t.TempDir())
	f.refused("there is no device dev2", "show", "dev2")
	f.refused("device name", "show", "..")
	f.refused("there is no cloud", "show", "--data", t.TempDir())
}

func TestPacking(t *testing.T) {
	f := newFixture(t)
	f.addDevice("dev1")
	dir := t.TempDir()
	f.refused("application.yml", "push", "dev1", dir)
	for text, reason := range map[string]string{
		"services: [{name: x, image: baetyl-hub}]":                   "baetyl-agent",
		strings.Replace(application, "name: data", "name: ..", 2):    "volumes[1].name",
		application + "colour: blue\n":                               "colour",
		"services: {agent: {image: baetyl-agent}}\nvolumes: {v: {}}": "metadata.yml",
	} {
		write(t, dir, map[string]string{"application.yml": text})
		f.refused(reason, "push", "dev1", dir)
	}
	write(t, dir, map[string]string{"application.yml": application, "agent-conf/x": ""})
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(dir, "agent-conf/link")))
	f.refused("neither a file nor a folder", "push", "dev1", dir)
	require.NoError(t, os.Rename(filepath.Join(dir, "agent-conf"), filepath.Join(dir, "data")))
	require.NoError(t, os.Symlink("data", filepath.Join(dir, "agent-conf")))
	f.refused("agent-conf is not a folder", "push", "dev1", dir)
	require.NotContains(t, f.run("show", "dev1"), "APP", "a push that failed is none")

	// The compose form, with the volumes in metadata.yml.
	dir = write(t, t.TempDir(), map[string]string{
		"application.yml": "app_version: v7\nservices: {agent: {image: baetyl-agent, volumes: " +
			"['var/db/baetyl/code/v7:/code']}}\n",
		"metadata.yml": "version: v7\nvolumes: [{name: code, path: var/db/baetyl/code/v7}]\n",
		"code/main.py": "pass",
	})
	f.run("push", "dev1", dir)
	s, err := openStore(f.dir)
	require.NoError(t, err)
	pushes, err := s.pushes("dev1")
	require.NoError(t, err)
	require.Equal(t, "v7", pushes[0].Version)
	sum := pushes[0].Volume.Meta.SHA256
	metadata := entry(t, s.device("dev1", "packages", sum+".zip"), "metadata.yml")
	require.Contains(t, metadata, "path: var/db/baetyl/code/v7\n")
	require.Contains(t, metadata, "sha256: ")

	// A master.
	binary := filepath.Join(t.TempDir(), "baetyl")
	require.NoError(t, os.WriteFile(binary, []byte("ELF"), 0o644))
	f.run("push", "dev1", binary, "--master", "--version", "1.1")
	pushes, err = s.pushes("dev1")
	require.NoError(t, err)
	require.Equal(t, masterapi.UpdateMaster, pushes[1].Type)
	require.Equal(t, "1.1", pushes[1].Version)
	require.Equal(t, "ELF", entry(t, s.device("dev1", "packages", pushes[1].Volume.Meta.SHA256+".zip"), "bin/baetyl"))
}
