//go:build e2e

package e2e_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// imagePrefix keeps the images of these tests apart from those of the user of this machine.
const imagePrefix = "baetyl-test/"

// installDocker builds the images and installs the docker example. It needs no registry: scripts/base-image.sh makes
// the base images of the runtimes from this machine. A runtime without a base (Python 2.7 on a machine that has none)
// gets no image.
func installDocker() error {
	prefix = filepath.Join(root, "output", "e2e-docker")
	if out, err := exec.Command("docker", "version").CombinedOutput(); err != nil {
		return missing(fmt.Errorf("docker version: %w\n%s", err, out))
	}
	script := exec.Command(filepath.Join(root, "scripts/base-image.sh"))
	script.Stderr = os.Stderr
	out, err := script.Output()
	if err != nil {
		return missing(fmt.Errorf("scripts/base-image.sh: %w", err))
	}
	bases := strings.Fields(string(out)) // BASE_PYTHON36=baetyl-test/base-python36 …
	var runtimes []string
	for _, base := range bases {
		name, _, _ := strings.Cut(strings.TrimPrefix(base, "BASE_"), "=")
		runtimes = append(runtimes, "baetyl-function-"+strings.ToLower(name))
	}
	err = run(append(bases, "BUILD_NETWORK=none"), "make", "--no-print-directory", "image",
		"IMAGE_PREFIX="+imagePrefix, "RUNTIMES="+strings.Join(runtimes, " "))
	if err != nil {
		return err
	}
	return run(nil, "make", "--no-print-directory", "install", "PREFIX="+prefix)
}

// missing ends the tests because docker or a base image is missing: with a note and exit code 0 on a user's machine,
// and with an error in CI.
func missing(err error) error {
	if os.Getenv("CI") != "true" {
		fmt.Fprintf(os.Stderr, "nothing is tested in docker mode: %v\n", err)
		os.Exit(0)
	}
	return err
}

var (
	// the mount of a package, and its volume
	packageEntry = regexp.MustCompile(`(?m)^ *- name: \S+-bin\n *path: .*\n( *readonly: .*\n)?`)
	imageName    = regexp.MustCompile(`(?m)^( *image: )'?(baetyl-[a-z0-9-]+)'?$`)
	hubOfNative  = regexp.MustCompile(`(?m)^( *)(image: \S*baetyl-hub\n *replica: 1\n(?: *healthcheck: .*\n)?)( *mounts:)`)
)

// inDocker turns a file of the native example into that of the docker example: no packages, a published port of the
// hub, and the hub's name as its address. It also puts in what differs in these tests: names of images and ports of the
// host.
func (s *system) inDocker(text string) string {
	text = packageEntry.ReplaceAllString(text, "")
	text = imageName.ReplaceAllString(text, "${1}"+imagePrefix+"${2}")
	text = hubOfNative.ReplaceAllString(text, "${1}${2}${1}ports:\n${1}  - 127.0.0.1:1883:1883\n${3}")
	text = strings.ReplaceAll(text, "tcp://127.0.0.1:1883", "tcp://localhub:1883")
	for name, port := range s.port {
		text = strings.ReplaceAll(text, "- 127.0.0.1:"+name+":"+name, "- 127.0.0.1:"+port+":"+name)
	}
	return text
}

// containers lists the running containers that mount a folder of this system.
func (s *system) containers() []process {
	ids, err := exec.Command("docker", "ps", "--quiet", "--no-trunc").Output()
	if err != nil || len(ids) == 0 {
		return nil
	}
	// A container that ends meanwhile makes the command fail, but its output about the others is complete.
	data, _ := exec.Command("docker", append([]string{"inspect"}, strings.Fields(string(ids))...)...).Output()
	var all []struct {
		Name   string
		State  struct{ Pid int }
		Config struct {
			Env        []string
			Entrypoint []string
		}
		Mounts []struct{ Source string }
	}
	if err := json.Unmarshal(data, &all); err != nil {
		return nil
	}
	var out []process
	for _, c := range all {
		ours := false
		for _, m := range c.Mounts {
			ours = ours || strings.HasPrefix(m.Source, s.dir+"/")
		}
		if !ours || c.State.Pid == 0 {
			continue
		}
		p := process{pid: c.State.Pid, name: strings.TrimPrefix(c.Name, "/"), args: strings.Join(c.Config.Entrypoint, " ")}
		for _, e := range c.Config.Env {
			if name, ok := strings.CutPrefix(e, "BAETYL_SERVICE_NAME="); ok {
				p.service = name
			}
		}
		out = append(out, p)
	}
	return out
}

// What docs/images.md promises of every image.
func TestImages(t *testing.T) {
	if mode != masterapi.ModeDocker {
		t.Skip("docker mode only")
	}
	filter := "reference=" + imagePrefix + "baetyl-*:latest"
	out, err := exec.Command("docker", "image", "ls", "--quiet", "--filter", filter).Output()
	must(t, err)
	data, err := exec.Command("docker", append([]string{"image", "inspect"}, strings.Fields(string(out))...)...).Output()
	must(t, err)
	var all []struct {
		RepoTags []string
		Size     int64
		Config   struct {
			User       string
			WorkingDir string
			Entrypoint []string
			Labels     map[string]string
		}
	}
	must(t, json.Unmarshal(data, &all))
	if len(all) < 5 {
		t.Errorf("only %d images are there: %s", len(all), data)
	}
	for _, image := range all {
		module := image.Config.Labels["org.opencontainers.image.title"]
		if len(image.Config.Entrypoint) != 1 || image.Config.Entrypoint[0] != module ||
			image.RepoTags[0] != imagePrefix+module+":latest" {
			t.Errorf("%v has the title %q and starts %v", image.RepoTags, module, image.Config.Entrypoint)
		}
		for _, label := range []string{"version", "revision", "source", "licenses"} {
			if image.Config.Labels["org.opencontainers.image."+label] == "" {
				t.Errorf("%s has no label %s", module, label)
			}
		}
		if dir := image.Config.WorkingDir; dir != "" && dir != "/" {
			t.Errorf("%s works in %s", module, dir)
		}
		runtime := strings.Contains(module, "-python") || strings.Contains(module, "-node")
		if runtime && image.Config.User != "nobody" {
			t.Errorf("%s runs as %q", module, image.Config.User)
		}
		if !runtime && image.Size > 15_000_000 {
			t.Errorf("%s has %d bytes", module, image.Size)
		}
	}
}

// `docker ps` shows what the documents show: containers named after services and instances, the program of each, the
// ports of the hub.
func TestDockerPS(t *testing.T) {
	if mode != masterapi.ModeDocker {
		t.Skip("docker mode only")
	}
	s := newSystem(t).withoutTimer()
	topics := answering(t)
	s.start()
	sub := s.subscribe("#")
	s.publish("t", `{"id":1}`)
	want := map[string]string{
		"localhub":         `"baetyl-hub" 127.0.0.1:` + s.port["1883"] + "->1883/tcp",
		"function-manager": `"baetyl-function-manager"`,
		"timer":            `"baetyl-timer"`,
	}
	for _, topic := range topics {
		sub.wait(topic, "Hello Baetyl")
		service := "function-" + sayhi[topic]
		want[service+"."+sayhi[topic]+".1"] = `"baetyl-` + strings.TrimSuffix(service, "-sayhi") + `"`
	}
	sub.wait("t/sqlfilter")
	want["function-sql-filter.sql-filter.1"] = `"baetyl-function-sql"`
	out, err := exec.Command("docker", "ps", "--no-trunc", "--format", "{{.Names}} {{.Command}} {{.Ports}}").Output()
	must(t, err)
	for name, rest := range want {
		if !hasLine(string(out), []string{name + " " + rest}) {
			t.Errorf("no line %s %s in:\n%s", name, rest, out)
		}
	}
}
