package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// site is an installed baetyl with an application for the comparison, and what runs beside it.
type site struct {
	dir, address string
	images       string // docker mode: what the names of images begin with; empty: native mode
	cache        string // folder of the stream engine
	hundred      bool   // with the 100 functions
	master       *exec.Cmd
	scripts      map[contender]*exec.Cmd // of one language
	engine       []*exec.Cmd             // one for each QoS; empty: there is none
}

// others starts what runs beside the function of a row, unless it runs.
func (s *site) others(r functionRow) error {
	if s.scripts != nil {
		return nil
	}
	s.scripts = map[contender]*exec.Cmd{}
	_, port, _ := net.SplitHostPort(s.address)
	if command := r.language.plain; command != nil {
		for c, more := range map[contender][]string{plain: nil, durable: {"durable"}} {
			args := append([]string{port, r.of(c)}, more...)
			cmd := exec.Command(command[0], append(command[1:len(command):len(command)], args...)...)
			cmd.Env = append(os.Environ(), "NODE_PATH=output/cache/node/node_modules")
			cmd.Stderr = os.Stderr
			if err := cmd.Start(); err != nil {
				return err
			}
			s.scripts[c] = cmd
		}
	}
	program := filepath.Join(s.cache, "stream")
	if _, err := os.Stat(program); err != nil || r.language.name != "SQL" || s.images != "" {
		return nil
	}
	for qos := range 2 {
		name := fmt.Sprintf("%s-%d", r.of(engine), qos)
		file := filepath.Join("var/db/baetyl/bench", name+".yml")
		if err := write(s.dir, file, streamConfig(s.address, name, qos)); err != nil {
			return err
		}
		cmd := exec.Command(program, "-c", filepath.Join(s.dir, file))
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			return err
		}
		s.engine = append(s.engine, cmd)
	}
	return nil
}

// streamConfig is select * where id >= 0 for Benthos.
func streamConfig(address, name string, qos int) string {
	return fmt.Sprintf(`
http: {enabled: false}
logger: {level: ERROR}
input:
  mqtt: {urls: ['tcp://%[1]s'], client_id: %[2]s-in, topics: [%[2]s/in], qos: 1, user: test, password: hahaha}
pipeline:
  processors: [{mapping: 'root = if this.id >= 0 { this } else { deleted() }'}]
output:
  mqtt: {urls: ['tcp://%[1]s'], client_id: %[2]s-out, topic: %[2]s/out, qos: %[3]d, user: test, password: hahaha}
`, address, name, qos)
}

func (s *site) stopOthers() {
	for _, cmd := range s.scripts {
		s.engine = append(s.engine, cmd)
	}
	for _, cmd := range s.engine {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	s.scripts, s.engine = nil, nil
}

func (s *site) has(module string) bool {
	if s.images != "" {
		return exec.Command("docker", "image", "inspect", s.images+module).Run() == nil
	}
	_, err := os.Stat(filepath.Join(s.dir, "var/db/baetyl", module))
	return err == nil
}

// pid finds a process that works in a folder whose path ends with the name of the service, in docker mode the container
// of the function's first instance. It returns 0 if there is none.
func (s *site) pid(service, function string) int {
	if s.images != "" {
		// An error means that it does not exist.
		out, _ := exec.Command("docker", "inspect", "--format", "{{.State.Pid}}", service+"."+function+".1").Output()
		pid, _ := strconv.Atoi(strings.TrimSpace(string(out)))
		return pid
	}
	links, _ := filepath.Glob("/proc/[0-9]*/cwd")
	for _, link := range links {
		to, err := os.Readlink(link)
		if err != nil || !strings.HasPrefix(to, s.dir) || !strings.HasSuffix(to, service) {
			continue
		}
		pid, _ := strconv.Atoi(strings.Split(link, "/")[2])
		return pid
	}
	return 0
}

// start writes the application and starts the master.
func (s *site) start() error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.address = ln.Addr().String()
	_, port, _ := net.SplitHostPort(s.address)
	listen, hub := s.address, s.address
	if s.images != "" {
		listen, hub = ":1883", "hub:1883"
	}
	ln.Close()
	var app, volumes, rules, list bytes.Buffer
	service := func(name, module string, replica int, mounts ...string) {
		fmt.Fprintf(&app, "- name: %s\n  image: %s\n  replica: %d\n", name, s.images+module, replica)
		if module == "baetyl-hub" && s.images != "" {
			fmt.Fprintf(&app, "  ports: ['%s:1883']\n", port)
		}
		fmt.Fprintf(&app, "  mounts:\n")
		if s.images == "" {
			fmt.Fprintf(&app, "  - {name: %s-bin, path: lib/baetyl/%s, readonly: true}\n", module, module)
		}
		for _, m := range mounts {
			volume, path, _ := strings.Cut(m, ":")
			fmt.Fprintf(&app, "  - {name: %s, path: %s}\n", volume, path)
		}
	}
	known := map[string]bool{}
	volume := func(name, path string) {
		if !known[name] && (s.images == "" || !strings.HasSuffix(name, "-bin")) {
			known[name] = true
			fmt.Fprintf(&volumes, "- {name: %s, path: %s}\n", name, path)
		}
	}
	const conf = "var/db/baetyl/bench"
	file := func(path, text string) { err = errors.Join(err, write(s.dir, path, text)) }
	service("hub", "baetyl-hub", 1, "hub-conf:etc/baetyl", "hub-data:var/db/baetyl/data")
	volume("baetyl-hub-bin", "var/db/baetyl/baetyl-hub")
	volume("hub-conf", conf+"/hub-conf")
	volume("hub-data", conf+"/hub-data")
	file(conf+"/hub-conf/service.yml", fmt.Sprintf(`
listen: ['tcp://%s']
principals:
- {username: test, password: hahaha, permissions: [{action: pub, permit: ['#']}, {action: sub, permit: ['#']}]}
metrics: {address: ''}
`, listen))
	service("manager", "baetyl-function-manager", 1, "manager-conf:etc/baetyl")
	volume("baetyl-function-manager-bin", "var/db/baetyl/baetyl-function-manager")
	volume("manager-conf", conf+"/manager-conf")
	for _, r := range runtimes {
		if !s.has(r.module) {
			continue
		}
		volume(r.module+"-bin", "var/db/baetyl/"+r.module)
		volume("code", conf+"/code")
		if r.file != "" {
			file(conf+"/code/"+r.file, r.code)
		}
		var named bytes.Buffer
		for _, kind := range []struct{ suffix, service, instance string }{
			{"-1", r.module, "{min: 1, max: 1}"},
			{"-4", "four-" + r.module, "{min: 4, max: 4}"},
			{"-cold", "cold-" + r.name + "-cold", "{min: 0, max: 1, idletime: 1s, evicttime: 200ms}"},
		} {
			name := r.name + kind.suffix
			service(kind.service, r.module, 0, "conf-"+r.module+":etc/baetyl", "code:code")
			fmt.Fprintf(&rules, `- clientid: %[1]s
  subscribe: {topic: %[1]s/in, qos: 1}
  function: {name: %[1]s}
  publish: {topic: %[1]s/out, qos: 1}
`, name)
			fmt.Fprintf(&list, "- {name: %s, service: %s, instance: %s}\n", name, kind.service, kind.instance)
			fmt.Fprintf(&named, "- {name: %s, handler: '%s'", name, r.handler)
			if r.file != "" {
				fmt.Fprint(&named, ", codedir: code")
			}
			fmt.Fprintln(&named, "}")
		}
		if r.name == "Python" && s.hundred {
			service("hundred", r.module, 0, "conf-"+r.module+":etc/baetyl", "code:code")
			for i := range 100 {
				fmt.Fprintf(&rules, `- clientid: hundred-%[1]d
  subscribe: {topic: hundred/%[1]d/in, qos: 1}
  function: {name: hundred-%[1]d}
  publish: {topic: hundred/%[1]d/out, qos: 1}
`, i)
				fmt.Fprintf(&list, "- {name: hundred-%d, service: hundred, instance: %s}\n", i,
					"{min: 0, max: 1, idletime: 5s, evicttime: 1s}")
				fmt.Fprintf(&named, "- {name: hundred-%d, handler: '%s', codedir: code}\n", i, r.handler)
			}
		}
		volume("conf-"+r.module, conf+"/"+r.module)
		file(conf+"/"+r.module+"/service.yml", "functions:\n"+named.String())
	}
	file(conf+"/manager-conf/service.yml", fmt.Sprintf(`hub: {address: 'tcp://%s', username: test, password: hahaha}
rules:
%sfunctions:
%s`, hub, &rules, &list))
	file("var/db/baetyl/application.yml", fmt.Sprintf("version: bench\nservices:\n%svolumes:\n%s", &app, &volumes))
	mode := "native"
	if s.images != "" {
		mode = "docker"
	}
	file("etc/baetyl/conf.yml", fmt.Sprintf(`mode: %s
server: {address: 'unix://var/run/baetyl.sock'}
logger: {path: var/log/baetyl/baetyl.log}
`, mode))
	if err != nil {
		return err
	}
	s.master = exec.Command(filepath.Join(s.dir, "bin/baetyl"), "start")
	s.master.Dir = s.dir
	if err := s.master.Start(); err != nil {
		return err
	}
	return until(30*time.Second, func() bool {
		c, err := dial(s.address, "probe", true, "test")
		if err == nil {
			c.close()
		}
		return err == nil
	})
}

func (s *site) stop() {
	s.stopOthers()
	_ = s.master.Process.Signal(syscall.SIGTERM)
	_ = s.master.Wait()
}
