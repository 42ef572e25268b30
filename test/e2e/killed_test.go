//go:build e2e

package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/baetyl/baetyl/internal/mqtttest"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// killLimit is how long a command may take whose master is killed: a busy machine starts the next master slowly.
const killLimit = time.Minute

// killer tries cases on one system.
type killer struct {
	*system
	between *between
	round   int // makes applications differ
}

// The master is killed in the middle of each request of each command. A user gets an end in time, and one line; what
// runs is as it was, or as it was to be, and nothing is left that the command has begun.
func TestMasterKilledDuringCommand(t *testing.T) {
	nativeFirst(t)
	s := newSystem(t).withoutTimer()
	s.edit(masterFile, func(text string) string {
		return text + "grace: 5s\nupdate:\n  healthy: 500ms\n  deadline: 40s\n" +
			"ui: {address: 'tcp://127.0.0.1:" + freePorts(t, "page")["page"] + "'}\n"
	})
	s.start()
	k := &killer{system: s, between: newBetween(t, s)}
	k.works("apply", "--yes", k.application(t.TempDir())) // so that there is one to go back to
	commands := s.commandsOf()
	for name := range killCases {
		if !slices.Contains(commands, name) {
			t.Errorf("there is no command %q: take its how out of killCases", name)
		}
	}
	for _, name := range commands {
		how, known := killCases[name]
		switch {
		case !known:
			t.Errorf("say in killCases what a user of %q sees when the master is killed", name)
		case how.elsewhere == "":
			t.Run(name, func(t *testing.T) {
				s.t = t
				k.killed(strings.Fields(name)[1:], how)
			})
			s.t = t
		}
	}
}

// shownCommand is a line of help with a command.
var shownCommand = regexp.MustCompile(`(?m)^  ([a-z-]+) +[A-Z]`)

// commandsOf are the commands that help shows below those words: those that do something.
func (s *system) commandsOf(words ...string) (out []string) {
	s.t.Helper()
	help, status := s.baetyl(append(slices.Clone(words), "--help")...)
	if status != 0 {
		s.t.Fatalf("baetyl %v --help ends with %d: %s", words, status, help)
	}
	for _, m := range shownCommand.FindAllStringSubmatch(help, -1) {
		if m[1] != "help" && m[1] != "completion" {
			out = append(out, s.commandsOf(append(slices.Clone(words), m[1])...)...)
		}
	}
	if len(out) == 0 || len(words) == 0 {
		out = append(out, strings.Join(append([]string{"baetyl"}, words...), " "))
	}
	return out
}

// killed kills the master at moments of each request of a case.
func (k *killer) killed(words []string, how killCase) {
	for n := 1; how.requests == 0 || n <= how.requests; n++ {
		for _, when := range k.moments(n) {
			if !k.once(words, how, n, when) {
				return // it has no such request
			}
		}
	}
}

// moments are those that the n-th request of a command is tried with.
func (k *killer) moments(n int) []moment {
	if os.Getenv("BAETYL_TEST_ALL") != "" {
		return allMoments
	}
	k.round++ // the commands have different ones, the same in each run
	return allMoments[(k.round+n)%len(allMoments):][:1]
}

// once runs a command whose master is killed at a moment, and tells whether that came.
func (k *killer) once(words []string, how killCase, n int, when moment) bool {
	k.t.Helper()
	for _, args := range how.before {
		k.works(args...)
	}
	before := k.census()
	out := k.t.TempDir()
	app := k.application(k.t.TempDir())
	args := slices.Clone(words)
	for _, a := range how.args {
		args = append(args, strings.NewReplacer("{out}", out, "{app}", app).Replace(a))
	}
	what := fmt.Sprintf("baetyl %s, request %d %s", strings.Join(args, " "), n, when)
	k.between.arm(n, when)
	var stdout, stderr mqtttest.Output
	began := time.Now()
	c := exec.Command(k.path("bin/baetyl"), append([]string{"-w", k.between.dir}, args...)...)
	c.Stdout, c.Stderr = &stdout, &stderr
	must(k.t, c.Start())
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	if how.then != nil {
		k.eventually(what+": it goes on", func() error {
			k.works(how.then...)
			if _, killed := k.between.result(); !killed || !strings.Contains(stdout.String(), how.shows) {
				return fmt.Errorf("killed %t, %q was not shown: %s%s", killed, how.shows, stdout.String(), stderr.String())
			}
			return nil
		})
		must(k.t, c.Process.Signal(syscall.SIGINT))
	}
	select {
	case <-ended:
	case <-time.After(killLimit):
		c.Process.Kill()
		k.t.Fatalf("%s: it has not ended: %s%s", what, stdout.String(), stderr.String())
	}
	requests, killed := k.between.result()
	status, said := c.ProcessState.ExitCode(), stderr.String()
	k.t.Logf("%s: %d requests, killed %t, status %d after %s: %s", what, requests, killed, status,
		time.Since(began).Round(time.Millisecond), said)
	if how.then == nil {
		k.ended(how, killed, status, said, what)
	}
	if how.ends == alone {
		if requests > 0 {
			k.t.Errorf("%s: it asks the master", what)
		}
		return false
	}
	k.works("restart") // the keeper counts crashes until a master has left
	k.as(before, how, status == 0, what)
	files, err := os.ReadDir(out)
	if must(k.t, err); status != 0 && len(files) > 0 {
		k.t.Errorf("%s: %s is left", what, files[0].Name())
	}
	if killed && !how.once && how.then == nil {
		k.eventually(what+": it works again", func() error {
			if text, status := k.baetyl(append(args, how.again...)...); status != 0 {
				return fmt.Errorf("status %d: %s", status, text)
			}
			return nil
		})
		if how.after != nil {
			k.works(how.after...)
		}
	}
	return killed
}

// ended checks what a user sees of the end.
func (k *killer) ended(how killCase, killed bool, status int, said, what string) {
	k.t.Helper()
	lines := 0
	for line := range strings.Lines(said) {
		if strings.HasPrefix(line, "baetyl: ") {
			lines++
		}
	}
	good := status == 0 || status == 1 && (killed && how.ends == fails && lines == 1 || how.ends == looks)
	if !good {
		k.t.Errorf("%s: status %d, %d lines: %s", what, status, lines, said)
	}
}

// census is what a command may leave other than it was.
type killCensus struct {
	version  string         // of the application
	services map[string]int // processes of those that run always
	files    []string
}

// always are the services that have one process each.
var always = []string{"localhub", "function-manager", "timer"}

// census waits until all is as it should be.
func (k *killer) census() (c killCensus) {
	k.t.Helper()
	c.services = map[string]int{}
	var st struct {
		Application string
		Error       string
		Services    int
	}
	k.eventually("the device is well", func() error {
		out, status := k.baetyl("status", "-o", "json")
		if status != 0 {
			return errors.New(out)
		}
		if err := json.Unmarshal([]byte(out), &st); err != nil {
			return err
		}
		for _, service := range always {
			all := roots(k.processesOf(service))
			if len(all) != 1 {
				return fmt.Errorf("%d of %s run", len(all), service)
			}
			c.services[service] = all[0].pid
		}
		return nil
	})
	c.version, c.files = st.Application, k.files()
	return c
}

// files are those that are neither logs nor what services write.
func (k *killer) files() (out []string) {
	k.t.Helper()
	skip := regexp.MustCompile(`^(between|var/log|var/run/baetyl/services|var/db/baetyl/(localhub-data|history))/`)
	must(k.t, filepath.WalkDir(k.dir, func(path string, d fs.DirEntry, err error) error {
		if name := strings.TrimPrefix(path, k.dir+"/"); err == nil && !d.IsDir() && !skip.MatchString(name) {
			out = append(out, name)
		}
		return nil
	}))
	return out
}

// as checks that all is as it was before, but for what the case says, and for an application that was to be replaced.
func (k *killer) as(before killCensus, how killCase, done bool, what string) {
	k.t.Helper()
	if how.after != nil {
		k.works(how.after...)
	}
	now := k.census()
	if how.changes != "" {
		delete(before.services, how.changes)
		delete(now.services, how.changes)
	}
	if !maps.Equal(before.services, now.services) {
		k.t.Errorf("%s: services were %v, and are %v", what, before.services, now.services)
	}
	if replaced := now.version != before.version; replaced != (done && how.updates) {
		k.t.Errorf("%s: done %t, and the application was %s and is %s", what, done, before.version, now.version)
	}
	k.eventually(what+": no file is left", func() error { // one that is being written has its name for a moment
		for _, name := range k.files() {
			if !slices.Contains(before.files, name) {
				return errors.New(name)
			}
		}
		return nil
	})
	var h masterapi.History
	out, _ := k.baetyl("history", "-o", "json")
	must(k.t, json.Unmarshal([]byte(out), &h))
	running := 0
	for _, e := range h.Entries {
		if e.Result == masterapi.ResultRunning {
			running++
			if e.Version != now.version {
				k.t.Errorf("%s: the history says that %s runs, and %s does", what, e.Version, now.version)
			}
		}
	}
	if running != 1 {
		k.t.Errorf("%s: in the history %d applications run: %s", what, running, out)
	}
	k.eventually(what+": nothing of it runs", func() error {
		if left, _ := exec.Command("pgrep", "-af", killMark).Output(); len(left) > 0 {
			return fmt.Errorf("%s", left)
		}
		if mode == masterapi.ModeDocker {
			if left, _ := exec.Command("docker", "ps", "-q", "--filter", "status=paused").Output(); len(left) > 0 {
				return fmt.Errorf("container %s is frozen", bytes.TrimSpace(left))
			}
		}
		return nil
	})
}

// works runs a command that succeeds, at the latest when the master is there.
func (k *killer) works(args ...string) {
	k.t.Helper()
	k.eventually("baetyl "+strings.Join(args, " "), func() error {
		if out, status := k.baetyl(args...); status != 0 {
			return fmt.Errorf("status %d: %s", status, out)
		}
		return nil
	})
}

// timerOf is where the example has the timer.
var timerOf = regexp.MustCompile(`(?m)^( *)- name: timer\n(?: *env: .*\n)?`)

// application writes one with another version, and another timer, into a folder, and returns its path.
func (k *killer) application(dir string) string {
	k.t.Helper()
	k.round++
	text := strings.Replace(k.read(appFile), "version: ", fmt.Sprintf("version: k%d # ", k.round), 1)
	text = timerOf.ReplaceAllString(text, fmt.Sprintf("${1}- name: timer\n${1}  env: {ROUND: '%d'}\n", k.round))
	path := filepath.Join(dir, "application.yml")
	must(k.t, os.WriteFile(path, []byte(text), 0o644))
	return path
}
