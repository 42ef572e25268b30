//go:build unix

package native

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/keeper"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/native/launch"
	"github.com/baetyl/baetyl/protocol/app"
)

var update = flag.Bool("update", false, "write the golden files anew")

const work = "/srv/baetyl/"

// someSite is what a usual service may see.
func someSite() site {
	const run, data = work + "var/run/baetyl", work + "var/db/baetyl"
	return site{
		masters: []string{work + "etc/baetyl", data, run, work + "var/log/baetyl"},
		never:   []string{data + "/users.json"},
		covered: []string{"/tmp", "/var/tmp"},
		links: []link{
			{target: "lib/baetyl/hub", source: data + "/hub", readonly: true, volume: "bin"},
			{target: "etc/baetyl", source: data + "/hub-conf", readonly: true, volume: "conf"},
			{target: "var/db/baetyl/data", source: data + "/hub-data", volume: "data"},
			{target: "var/run/baetyl.sock", source: work + "var/run/baetyl.sock"},
			{target: "elsewhere", source: work + "lib/rules", readonly: true, volume: "rules"},
		},
		own:      []string{run + "/services/hub", work + instancesDir + "/hub/hub"},
		programs: []string{"/usr"},
		closed:   func(string) bool { return false },
	}
}

// Each case is a service on a host; its golden file is what shim and keeper are told.
func TestPlan(t *testing.T) {
	own := account{uid: 70001, gid: 70001, groups: []int{70100, 20}, capabilities: []string{capBind}, umask: defaultUmask}
	seen := func(change func(*site)) *view {
		s := someSite()
		change(&s)
		v := see(s)
		return &v
	}
	for name, change := range map[string]func(*plan){
		"own-user": func(p *plan) { p.view = seen(func(*site) {}) },
		"plain-user": func(p *plan) {
			p.account, p.view = asMaster, nil
		},
		"root": func(p *plan) {
			p.account = account{privileged: true, umask: defaultUmask}
			p.view = seen(func(s *site) { s.masters, s.covered = []string{work + "var/run/baetyl"}, nil })
		},
		"below-root": func(p *plan) { // a clone in a folder that only root may enter, with pyenv in it too
			p.view = seen(func(s *site) {
				s.programs = []string{"/srv/pyenv/versions/3.6", "/usr"}
				s.closed = func(path string) bool { return strings.HasPrefix(path, "/srv/") }
			})
		},
		"below-tmp": func(p *plan) { p.view = seen(func(s *site) { s.covered = []string{"/srv"} }) },
		"agent": func(p *plan) {
			p.account.capabilities = []string{capDAC}
			p.view = seen(func(s *site) {
				s.links = append(s.links, link{target: "volumes", source: work + "var/db/baetyl", volume: "all"})
				s.masters = append(s.masters, "/dev", "/run")
				s.root, s.readonly = true, []string{"/etc", "/usr"}
				s.needed = []launch.Bind{{Source: "/dev/null", Target: "/dev/null"}}
			})
		},
		"v1": func(p *plan) { p.cgroup, p.cgroups = "", []string{"/sys/fs/cgroup/memory/baetyl.1/hub@hub"} },
	} {
		t.Run(name, func(t *testing.T) {
			p := plan{
				service: engine.Service{Service: app.Service{Name: "hub"}}, args: []string{"-c", "x"},
				spec:    engine.Spec{Name: "hub", Handle: "h1", Env: map[string]string{"BAETYL_SERVICE_NAME": "hub"}},
				account: own, hideProc: true, ownIPC: true,
				program: work + "var/db/baetyl/hub/bin/hub", dir: work + "var/run/baetyl/services/hub",
				private: work + instancesDir + "/hub/hub", shim: "/proc/7/exe", parent: 6,
				cgroup:  "/sys/fs/cgroup/baetyl.1/hub@hub",
				output:  keeper.Output{File: work + "var/log/baetyl/services/hub.log", Instance: "hub", Size: 50},
				inherit: []string{"PATH=/bin", "HOME=/root", "TMPDIR=/root/tmp", "MASTER_SECRET=s", "LC_ALL=C"},
			}
			change(&p)
			ks, err := p.keeper()
			require.NoError(t, err)
			ks.Launch = nil
			got, err := json.MarshalIndent(struct {
				Keeper keeper.Spec
				Launch launch.Spec
			}{ks, p.launch()}, "", "  ")
			require.NoError(t, err)
			golden := filepath.Join("testdata", name+".golden.json")
			if *update {
				require.NoError(t, os.MkdirAll("testdata", 0o755))
				require.NoError(t, os.WriteFile(golden, append(got, '\n'), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), string(got)+"\n")
		})
	}
}

// A mount that another one of the service contains: writable wins, a link cannot be both.
func TestSeeOverlappingMounts(t *testing.T) {
	s := someSite()
	in := func(dir string, readonly bool) link {
		return link{source: work + "var/db/baetyl/" + dir, readonly: readonly, volume: dir}
	}
	bind := func(dir string, readonly bool) launch.Bind {
		return launch.Bind{Source: work + "var/db/baetyl/" + dir, Target: work + "var/db/baetyl/" + dir, ReadOnly: readonly}
	}
	s.own, s.links = nil, []link{
		in("a", false), in("a/ro", true), in("b", true), in("b/rw", false), in("c", true), in("c", false),
	}
	require.Equal(t, []launch.Bind{
		bind("a", false), bind("a/ro", false), bind("b", true), bind("b/rw", false), bind("c", false),
	}, see(s).binds)
}

func TestLowPort(t *testing.T) {
	for text, want := range map[string]bool{
		"80": true, "80:8080": true, "8080:80": true, "127.0.0.1:1883:1883": false, "1024": false, "443/udp": true, "x": false,
	} {
		require.Equal(t, want, lowPort([]string{text}), text)
	}
}

func TestPrivateFoldersFitSockets(t *testing.T) {
	long := strings.Repeat("x", 128)
	require.Equal(t, "/w/"+instancesDir+"/a/a.i1", privateDir("/w", "a", "a.i1"))
	short := privateDir("/w", "a", long)
	require.Empty(t, checkSocket(short))
	require.NotEqual(t, short, privateDir("/w", "b", long))
	require.Contains(t, checkSocket(privateDir("/"+long, "a", "a")), "too long for unix sockets")
}

func FuzzParseHome(f *testing.F) {
	f.Add([]byte("home = /usr/bin\nversion = 3.11\n"))
	f.Add([]byte("home=\xff\nhome"))
	f.Fuzz(func(t *testing.T, cfg []byte) {
		if home := parseHome(cfg); home != "" && !filepath.IsAbs(home) {
			t.Errorf("%q is not absolute", home)
		}
	})
}

func TestInterpreters(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	write := func(rel, content string) string {
		path := filepath.Join(dir, rel)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o755))
		return path
	}
	link := func(rel, to string) string {
		path := filepath.Join(dir, rel)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.Symlink(to, path))
		return path
	}
	write("home/.pyenv/versions/3.6/bin/python3.6", "")
	link("home/.pyenv/versions/3.6/bin/python", "python3.6")
	write("home/.pyenv/shims/python3", "")
	write("home/bin/mine", "")
	link("pkg/venv/bin/python", filepath.Join(dir, "home/.pyenv/versions/3.6/bin/python"))
	at := func(rel ...string) (out []string) {
		for _, r := range rel {
			out = append(out, filepath.Join(dir, r))
		}
		return out
	}
	root := filepath.Join(dir, "pkg")
	search := filepath.Join(dir, "home/.pyenv/shims") + ":relative"

	// The package's own environment, without which its script cannot run.
	p := program{path: write("pkg/bin/a", "#!/bin/sh\nexec venv/bin/python\n"), root: root}
	require.Subset(t, interpreters(p, ""), at("home/.pyenv/versions/3.6"))
	p = program{path: write("pkg/bin/b", "#!/usr/bin/env python3\n"), root: root}
	require.Subset(t, interpreters(p, search), at("home/.pyenv"))
	require.NotContains(t, interpreters(p, "relative"), filepath.Join(dir, "home/.pyenv"))
	python := filepath.Join(dir, "home/.pyenv/versions/3.6/bin/python")
	p = program{path: write("other/bin/c", "#!"+python+" -u\n"), root: at("other")[0]}
	require.Equal(t, at("home/.pyenv/versions/3.6"), interpreters(p, ""))
	// Not the home of a user with all that is in it.
	require.Equal(t, "/root/bin", installation("/root/bin/x"))
	require.Equal(t, "/home/u/bin", installation("/home/u/bin/x"))
	require.Equal(t, "/root/.local/bin", installation("/root/.local/bin/x"))
	require.Equal(t, "/usr/local", installation("/usr/local/bin/x"))
	// What is no program, though a link of an environment leads to it.
	write("secret/key", "")
	require.NoError(t, os.Chmod(filepath.Join(dir, "secret/key"), 0o600))
	link("key/bin/python", filepath.Join(dir, "secret/key"))
	link("folder/bin/python", filepath.Join(dir, "secret"))
	for _, name := range []string{"key", "folder"} {
		require.Empty(t, interpreters(program{path: at(name + "/none")[0], root: at(name)[0]}, ""))
	}
	// A loop of links, a pipe in place of a file.
	link("loop/venv/bin/python", "python")
	require.Empty(t, interpreters(program{path: at("loop/none")[0], root: at("loop")[0]}, ""))
}

// Limits under which not even the shim can run are named: with cgroup v2 it is born under them.
func TestTooLow(t *testing.T) {
	ended := errors.New("it ended before it became its program")
	low := app.Resources{Pids: app.Pids{Limit: 7}, Memory: app.Memory{Limit: 4 << 20}}
	require.EqualError(t, tooLow(low, ended), "it ended before it became its program; "+
		"resources.pids.limit is 7, and a start needs 8; resources.memory.limit is 4194304 bytes, and a start needs 8388608")
	require.ErrorIs(t, tooLow(low, ended), ended)
	for _, err := range []error{syscall.ENOENT, ended} {
		require.Equal(t, err, tooLow(app.Resources{}, err))
	}
	require.Equal(t, syscall.ENOENT, tooLow(low, syscall.ENOENT), "the limits are not the reason")
}
