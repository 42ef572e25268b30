package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/256dpi/gomqtt/packet"
)

// The comparison of functions: what arrives on <name>/in is handled and published on <name>/out, by the function
// manager with its runtimes, or by a plain script that subscribes, handles and publishes: what people write instead.

// language is a way to run a function.
type language struct {
	name, module, handler string
	file, code            string   // of the function
	plain                 []string // command of the plain script, after which come port and name; nil: there is none
}

// runtimes are those that are compared. Those whose package is not installed are left out.
var runtimes = []language{
	{
		"Python", "baetyl-function-python36", "echo.handler",
		"echo.py", "def handler(event, context):\n    return event\n",
		[]string{"output/cache/paho/bin/python", "test/bench/testdata/plain.py"},
	},
	{
		"Node", "baetyl-function-node85", "echo.handler",
		"echo.js", "exports.handler = (event, context, callback) => callback(null, event)\n",
		[]string{"node", "test/bench/testdata/plain.js"},
	},
	{"SQL", "baetyl-function-sql", "select * where id >= 0", "", "", nil},
}

// site is an installed baetyl with an application for the comparison.
type site struct {
	dir, address string
	images       string // docker mode: what the names of images begin with; empty: native mode
	master       *exec.Cmd
}

// functions prints the table.
func functions(prefix, images string, d time.Duration) error {
	dir, err := filepath.Abs(prefix)
	if err != nil {
		return err
	}
	s := &site{dir: dir, images: images}
	if err := s.start(); err != nil {
		return err
	}
	defer s.stop()
	fmt.Println(
		"| row | unit | function | plain script | ratio | durable plain script | ratio |\n|---|---|---|---|---|---|---|",
	)
	for _, r := range runtimes {
		if !s.has(r.module) {
			continue
		}
		if err := s.compare(r, d); err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
	}
	return nil
}

// plain starts the plain script of a runtime, nil if there is none.
func (s *site) plain(r language, name string, more ...string) (*exec.Cmd, error) {
	if r.plain == nil {
		return nil, nil
	}
	_, port, _ := net.SplitHostPort(s.address)
	cmd := exec.Command(r.plain[0], append(append(r.plain[1:len(r.plain):len(r.plain)], port, name), more...)...)
	cmd.Env = append(os.Environ(), "NODE_PATH=output/cache/node/node_modules")
	cmd.Stderr = os.Stderr
	return cmd, cmd.Start()
}

// compare prints the rows of one runtime.
func (s *site) compare(r language, d time.Duration) error {
	others := []string{"plain-" + r.name, "durable-" + r.name}
	var scripts []*exec.Cmd
	defer func() {
		for _, cmd := range scripts {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}()
	for i, name := range others {
		cmd, err := s.plain(r, name, []string{"durable"}[:i]...)
		if err != nil {
			return err
		}
		if cmd != nil {
			scripts = append(scripts, cmd)
		}
	}
	others = others[:len(scripts)]
	print := func(row, unit string, own float64, other ...float64) {
		fmt.Printf("| %s, %s | %s | %s |", r.name, row, unit, number(own))
		for i := range 2 {
			if i < len(other) {
				fmt.Printf(" %s | %.2f |", number(other[i]), own/other[i])
			} else {
				fmt.Print(" | |")
			}
		}
		fmt.Println()
	}
	for qos, beside := range [][]string{others[:min(1, len(others))], others} { // at QoS 0 a session makes no difference
		var times [][]float64
		for _, name := range append([]string{r.name + "-1"}, beside...) {
			t, err := s.roundTrips(name, packet.QOS(qos), d)
			if err != nil {
				return err
			}
			times = append(times, t)
		}
		for _, q := range []float64{0.5, 0.99} {
			var at []float64
			for _, t := range times {
				at = append(at, quantile(t, q))
			}
			print(fmt.Sprintf("warm round trip, QoS %d, p%.0f", qos, q*100), "µs", at[0], at[1:]...)
		}
	}
	if s.images != "" { // the hub is behind docker's proxy, the scripts are not
		return s.coldRow(print, r)
	}
	var rates []float64
	for _, name := range others {
		rate, err := s.throughput(name, d)
		if err != nil {
			return err
		}
		rates = append(rates, rate)
	}
	for _, n := range []string{"1", "4"} {
		own, err := s.throughput(r.name+"-"+n, d)
		if err != nil {
			return err
		}
		print("messages, QoS 1, 64 under way, instances: "+n, "msg/s", own, rates...)
	}
	var memory []float64
	for _, cmd := range scripts {
		memory = append(memory, rssOf(cmd.Process.Pid)/1024/1024)
	}
	print("memory of an idle instance", "MiB", rssOf(s.pid(r.module, r.name+"-1"))/1024/1024, memory...)
	return s.coldRow(print, r)
}

func (s *site) coldRow(print func(row, unit string, own float64, other ...float64), r language) error {
	cold, err := s.coldStarts(r.name + "-cold")
	if err != nil {
		return err
	}
	print("cold start to first result, median", "ms", quantile(cold, 0.5))
	return nil
}

func quantile(v []float64, q float64) float64 {
	sort.Float64s(v)
	return v[int(float64(len(v)-1)*q)]
}

// exchange is a publisher on <name>/in and a subscriber on <name>/out.
type exchange struct {
	in      *client
	name    string
	qos     packet.QOS
	next    packet.ID
	results chan struct{} // one for each result; its size is the most that is ever under way
	close   func()
}

func (s *site) open(name string, qos packet.QOS) (*exchange, error) {
	r, err := newReceiver(s.address, "bench-out-"+name, name+"/out", qos, true, "test")
	if err != nil {
		return nil, err
	}
	x := &exchange{name: name, qos: qos, results: make(chan struct{}, 1024)}
	r.onFrame = func([]byte) { x.results <- struct{}{} }
	var ready, wg sync.WaitGroup
	ready.Add(1)
	wg.Go(func() { r.run(&ready) })
	ready.Wait()
	if x.in, err = dial(s.address, "bench-in-"+name, true, "test"); err != nil {
		return nil, err
	}
	wg.Go(func() {
		for {
			if _, err := x.in.read(); err != nil {
				return
			}
		}
	})
	x.close = func() {
		x.in.close()
		r.close()
		wg.Wait()
	}
	return x, nil
}

func (x *exchange) publish() error {
	x.next = x.next%60000 + 1
	return x.in.send(encode(x.name+"/in", fmt.Appendf(nil, `{"id":%d,"text":"0123456789"}`, x.next), x.qos, x.next))
}

func (x *exchange) wait(limit time.Duration) error {
	select {
	case <-x.results:
		return nil
	case <-time.After(limit):
		return fmt.Errorf("%s: no result within %s", x.name, limit)
	}
}

// roundTrips returns the times from publishing to the result, in µs, one message at a time.
func (s *site) roundTrips(name string, qos packet.QOS, d time.Duration) ([]float64, error) {
	x, err := s.open(name, qos)
	if err != nil {
		return nil, err
	}
	defer x.close()
	for { // until whoever answers is up
		if err := x.publish(); err != nil {
			return nil, err
		}
		if x.wait(30*time.Second) == nil {
			break
		}
	}
	var times []float64
	for end := time.Now().Add(d); time.Now().Before(end); {
		start := time.Now()
		if err := errors.Join(x.publish(), x.wait(10*time.Second)); err != nil {
			return nil, err
		}
		times = append(times, float64(time.Since(start).Nanoseconds())/1e3)
	}
	return times[len(times)/10:], nil // without the first ones: it warms up
}

// throughput returns the results a second with 64 messages under way.
func (s *site) throughput(name string, d time.Duration) (float64, error) {
	x, err := s.open(name, 1)
	if err != nil {
		return 0, err
	}
	defer x.close()
	for range 64 {
		if err := x.publish(); err != nil {
			return 0, err
		}
	}
	count := 0
	var start time.Time
	for end := time.Now().Add(d + time.Second); time.Now().Before(end); count++ {
		if err := errors.Join(x.wait(10*time.Second), x.publish()); err != nil {
			return 0, err
		}
		if start.IsZero() && time.Until(end) < d {
			start, count = time.Now(), 0
		}
	}
	rate := float64(count) / time.Since(start).Seconds()
	for range 64 {
		if err := x.wait(10 * time.Second); err != nil {
			return 0, err
		}
	}
	return rate, nil
}

// coldStarts returns how long the first result takes when no instance is there, in ms.
func (s *site) coldStarts(name string) ([]float64, error) {
	x, err := s.open(name, 1)
	if err != nil {
		return nil, err
	}
	defer x.close()
	var times []float64
	for range 5 {
		if err := until(30*time.Second, func() bool { return s.pid("cold-"+name, name) == 0 }); err != nil {
			return nil, fmt.Errorf("%s: its instance does not go", name)
		}
		start := time.Now()
		if err := errors.Join(x.publish(), x.wait(30*time.Second)); err != nil {
			return nil, err
		}
		times = append(times, time.Since(start).Seconds()*1000)
	}
	return times, nil
}

func (s *site) has(module string) bool {
	if s.images != "" {
		return exec.Command("docker", "image", "inspect", s.images+module).Run() == nil
	}
	_, err := os.Stat(filepath.Join(s.dir, "var/db/baetyl", module))
	return err == nil
}

// pid finds a process that runs in the folder of a service whose name ends so, or the container of an instance of its
// function; 0 if there is none.
func (s *site) pid(service, function string) int {
	if s.images != "" {
		// it may be gone
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

// rssOf returns the memory that a process has to itself or shares, in bytes.
func rssOf(pid int) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	pages, _ := strconv.Atoi(strings.Fields(string(text))[1])
	return float64(pages * os.Getpagesize())
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
			fmt.Fprintf(
				&rules,
				"- clientid: %s\n  subscribe: {topic: %s/in, qos: 1}\n  function: {name: %s}\n  publish: {topic: %s/out, qos: 1}\n",
				name,
				name,
				name,
				name,
			)
			fmt.Fprintf(&list, "- {name: %s, service: %s, instance: %s}\n", name, kind.service, kind.instance)
			fmt.Fprintf(&named, "- {name: %s, handler: '%s'", name, r.handler)
			if r.file != "" {
				fmt.Fprint(&named, ", codedir: code")
			}
			fmt.Fprintln(&named, "}")
		}
		volume("conf-"+r.module, conf+"/"+r.module)
		file(conf+"/"+r.module+"/service.yml", "functions:\n"+named.String())
	}
	file(
		conf+"/manager-conf/service.yml",
		fmt.Sprintf(
			"hub: {address: 'tcp://%s', username: test, password: hahaha}\nrules:\n%sfunctions:\n%s",
			hub,
			&rules,
			&list,
		),
	)
	file("var/db/baetyl/application.yml", fmt.Sprintf("version: bench\nservices:\n%svolumes:\n%s", &app, &volumes))
	file(
		"etc/baetyl/conf.yml",
		"mode: "+map[bool]string{true: "native",
			false: "docker"}[s.images == ""]+"\nserver: {address: 'unix://var/run/baetyl.sock'}\nlogger: {path: "+
			"var/log/baetyl/baetyl.log}\n",
	)
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
	_ = s.master.Process.Signal(syscall.SIGTERM)
	_ = s.master.Wait()
}
