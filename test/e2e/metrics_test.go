//go:build e2e

package e2e_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
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
	"github.com/baetyl/baetyl/internal/requires"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/cert"
)

// monitored is a system with a page for Prometheus.
type monitored struct {
	*system
	base string
}

// get returns status and body of a page.
func (m monitored) get(path string) (int, string, error) {
	c := http.Client{Timeout: 20 * time.Second}
	r, err := c.Get(m.base + path)
	if err != nil {
		return 0, "", err
	}
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	return r.StatusCode, string(data), err
}

func (m monitored) page() string {
	m.t.Helper()
	status, text, err := m.get("/metrics")
	must(m.t, err)
	if status != http.StatusOK {
		m.t.Fatalf("/metrics answers %d: %s", status, text)
	}
	return text
}

// shows waits until the page has these lines, each of which may end anywhere.
func (m monitored) shows(lines ...string) {
	m.t.Helper()
	m.eventually(fmt.Sprintf("the page has %q", lines), func() error {
		text := "\n" + m.page()
		for _, line := range lines {
			if !strings.Contains(text, "\n"+line) {
				name, _, _ := strings.Cut(line, "{")
				return fmt.Errorf("it has not %q, but %q", line, regexp.MustCompile("(?m)^"+name+"{.*").FindAllString(text, -1))
			}
		}
		return nil
	})
}

// series counts those of the page.
func series(page string) (n int) {
	for line := range strings.Lines(page) {
		if !strings.HasPrefix(line, "#") {
			n++
		}
	}
	return n
}

// withModules adds a bridge, from the hub to itself, and in native mode an agent whose cloud is away.
func (s *system) withModules() {
	s.t.Helper()
	service := func(name, module string, volumes ...string) {
		mounts, paths := "", ""
		for _, v := range append([]string{"bin", "conf"}, volumes...) {
			at, path, volume := "etc/baetyl", "var/db/baetyl/"+name+"-conf", name+"-"+v
			switch v {
			case "bin":
				at, path = "lib/baetyl/"+module, "var/db/baetyl/"+module
			case "cert":
				at, path = "var/db/baetyl/cert", "var/db/baetyl/"+name+"-cert"
			case "volumes":
				at, path = "var/db/baetyl/volumes", "var/db/baetyl"
			case "parked":
				at, path = "var/db/baetyl/parked", "var/db/baetyl/"+name+"-parked"
			}
			if v == "bin" && mode == masterapi.ModeDocker {
				continue
			}
			mounts += "      - name: " + volume + "\n        path: " + at + "\n"
			paths += "  - name: " + volume + "\n    path: " + path + "\n"
		}
		image := module
		if mode == masterapi.ModeDocker {
			image = imagePrefix + module
		}
		s.edit(appFile, func(text string) string {
			text = strings.Replace(text, "services:\n",
				"services:\n  - name: "+name+"\n    image: "+image+"\n    replica: 1\n    mounts:\n"+mounts, 1)
			return strings.Replace(text, "\nvolumes:\n", "\nvolumes:\n"+paths, 1)
		})
	}
	service("bridge", "baetyl-remote-mqtt", "parked")
	s.write("var/db/baetyl/bridge-conf/service.yml", `hub: {address: 'tcp://127.0.0.1:1883', username: test, password: hahaha}
remotes: [{name: self, address: 'tcp://127.0.0.1:1883', username: test, password: hahaha}]
rules:
  - hub: {clientid: bridge-near, subscriptions: [{topic: bridged, prefix: over}]}
    remote: {name: self, clientid: bridge-far}
`)
	if mode != masterapi.ModeNative {
		return
	}
	service("agent", "baetyl-agent", "cert", "volumes")
	key, err := rsa.GenerateKey(rand.Reader, 2048) // reports are sealed with it
	must(s.t, err)
	pair, err := cert.Issue(cert.ForClient("d"), key, nil)
	must(s.t, err)
	must(s.t, os.MkdirAll(s.path("var/db/baetyl/agent-cert"), 0o755))
	must(s.t, cert.Write(s.path("var/db/baetyl/agent-cert/client"), pair))
	const at = "var/db/baetyl/cert/"
	s.write("var/db/baetyl/agent-conf/service.yml", fmt.Sprintf(`remote:
  mqtt: {address: 'ssl://127.0.0.1:%d', clientid: d, username: d, ca: %[2]sclient.pem, cert: %[2]sclient.pem, key: %[2]sclient.key}
`, mqtttest.FreePort(s.t), at))
}

// One page has the numbers of the device and of all modules, whatever they do; Prometheus takes it, and the rules and
// the board of example/monitoring name what is there.
func TestMetrics(t *testing.T) {
	s := newSystem(t)
	s.withModules()
	port := mqtttest.FreePort(t)
	m := monitored{s, fmt.Sprintf("http://127.0.0.1:%d", port)}
	s.edit(masterFile, func(text string) string {
		return text + fmt.Sprintf("\nmetrics: {address: '127.0.0.1:%d'}\nupdate: {healthy: 1s}\n", port)
	})
	s.start()
	m.eventually("the device is ready", func() error {
		status, why, err := m.get("/readyz")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("%d: %s", status, why)
		}
		return err
	})
	modules := []string{"localhub", "function-manager", "bridge"}
	if mode == masterapi.ModeNative {
		modules = append(modules, "agent")
	}
	var want []string
	for _, name := range modules {
		want = append(want, fmt.Sprintf(`baetyl_module_up{service=%q,service_instance=%q} 1`, name, name))
	}
	m.shows(append(want, `baetyl_service_up{service="timer"} 1`, `baetyl_remote_connected{remote="self",`,
		`baetyl_instance_cpu_seconds_total{service="localhub",service_instance="localhub"} `,
		`baetyl_instance_memory_bytes{service="localhub",service_instance="localhub"} `,
		`baetyl_instance_pids{service="localhub",service_instance="localhub"} `)...)

	// an update, so that there is a last one
	changed := filepath.Join(t.TempDir(), "application.yml")
	must(t, os.WriteFile(changed, []byte(strings.Replace(s.read(appFile), "version: ", "version: next-", 1)), 0o600))
	if out, status := s.baetyl("apply", "--yes", changed); status != 0 {
		t.Fatalf("apply ends with %d: %s", status, out)
	}
	m.shows(`baetyl_last_update_success{type="APP"} 1`, `baetyl_updates_total{result="updated",type="APP"} 1`,
		`baetyl_application_info{version="next-`, want[0])

	m.lint()
	m.prometheus(port)
	m.clients()
	m.hung()
	m.killed()

	s.edit(masterFile, func(text string) string { return strings.Replace(text, "metrics: {", "metrics: {hosts: [a], ", 1) })
	if out, status := s.baetyl("reload"); status != 0 || !strings.Contains(out, "metrics.hosts") {
		t.Fatalf("reload ends with %d: %s", status, out)
	}
	s.eventually("the page is there after a reload", func() error { _, _, err := m.get("/healthz"); return err })
	s.edit(masterFile, func(text string) string { return strings.Replace(text, "metrics: {hosts: [a], ", "# ", 1) })
	if out, status := s.baetyl("reload"); status != 0 {
		t.Fatalf("reload ends with %d: %s", status, out)
	}
	s.eventually("nobody listens", func() error {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_ = c.Close()
			return fmt.Errorf("somebody does")
		}
		return nil
	})
}

// lint is promtool check metrics.
func (m monitored) lint() {
	m.t.Helper()
	cmd := exec.Command(requires.Command(m.t, "promtool", "apt-get install prometheus"), "check", "metrics")
	cmd.Stdin = strings.NewReader(m.page())
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		m.t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// clients shows that 1,000 of them make no series.
func (m monitored) clients() {
	m.t.Helper()
	before := series(m.page())
	for i := range 1000 {
		id := fmt.Sprintf("many-%04d", i)
		c, err := net.Dial("tcp", "127.0.0.1:"+m.port["1883"])
		must(m.t, err)
		must(m.t, c.SetDeadline(time.Now().Add(waitLimit)))
		body := "\x00\x04MQTT\x04\xc2\x00\x00\x00" + string(rune(len(id))) + id + "\x00\x04test\x00\x06hahaha"
		_, err = c.Write([]byte("\x10" + string(rune(len(body))) + body))
		must(m.t, err)
		answer := make([]byte, 4)
		_, err = io.ReadFull(c, answer)
		must(m.t, err)
		if answer[3] != 0 {
			m.t.Fatalf("CONNACK of %s: %x", id, answer)
		}
		must(m.t, c.Close())
	}
	if after := series(m.page()); after > before+20 {
		m.t.Errorf("1,000 clients have made %d series of %d", after, before)
	}
}

// hung stops the hub with SIGSTOP: its numbers are missing, and the rest comes.
func (m monitored) hung() {
	m.t.Helper()
	p := m.one("localhub")
	must(m.t, syscall.Kill(p.pid, syscall.SIGSTOP))
	began := time.Now()
	m.shows(`baetyl_module_up{service="localhub",service_instance="localhub"} 0`,
		`baetyl_module_up{service="function-manager",service_instance="function-manager"} 1`,
		`baetyl_function_calls_total{`, `baetyl_service_up{service="timer"} `)
	m.t.Logf("with a module that hangs the page takes %v", time.Since(began).Round(time.Millisecond))
	must(m.t, syscall.Kill(p.pid, syscall.SIGCONT))
	m.shows(`baetyl_module_up{service="localhub",service_instance="localhub"} 1`, `baetyl_hub_connections{`)
}

// killed ends the function manager with SIGKILL, and follows it until it is back.
func (m monitored) killed() {
	m.t.Helper()
	must(m.t, syscall.Kill(m.one("function-manager").pid, syscall.SIGKILL))
	m.shows(`baetyl_instance_restarts_total{service="function-manager",service_instance="function-manager"} 1`,
		`baetyl_module_up{service="function-manager",service_instance="function-manager"} 1`,
		`baetyl_service_restarts_total{service="function-manager"} 1`)
	m.eventually("the device is ready again", func() error {
		status, why, err := m.get("/readyz")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("%d: %s", status, why)
		}
		return err
	})
}

var metricName = regexp.MustCompile(`\b(baetyl|go|process)_[a-z0-9_]+\b|\bup\b`)

// exprs are what rules and board ask for.
func exprs(t *testing.T) (out []string) {
	t.Helper()
	rules, err := os.ReadFile(filepath.Join(root, "example/monitoring/rules.yml"))
	must(t, err)
	for _, part := range strings.Split(string(rules), "expr: ")[1:] {
		text, _, _ := strings.Cut(part, "\n        labels:")
		text, _, _ = strings.Cut(text, "\n        for:")
		out = append(out, strings.TrimSpace(strings.TrimPrefix(text, ">-")))
	}
	data, err := os.ReadFile(filepath.Join(root, "example/monitoring/grafana.json"))
	must(t, err)
	var board struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	must(t, json.Unmarshal(data, &board))
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			expr := strings.ReplaceAll(target.Expr, "$__rate_interval", "1m")
			out = append(out, strings.ReplaceAll(expr, "$device", ".*"))
		}
	}
	if len(out) < 40 {
		t.Fatalf("only %d expressions were found", len(out))
	}
	return out
}

// prometheus lets a real one scrape the page with the rules of the example, and asks for all that rules and board ask
// for.
func (m monitored) prometheus(port int) {
	m.t.Helper()
	dir, own := m.t.TempDir(), mqtttest.FreePort(m.t)
	rules, err := os.ReadFile(filepath.Join(root, "example/monitoring/rules.yml"))
	must(m.t, err)
	must(m.t, os.WriteFile(filepath.Join(dir, "rules.yml"), rules, 0o600))
	config, err := os.ReadFile(filepath.Join(root, "example/monitoring/prometheus.yml"))
	must(m.t, err)
	text := strings.NewReplacer("30s", "1s", "127.0.0.1:9884", fmt.Sprintf("127.0.0.1:%d", port)).Replace(string(config))
	must(m.t, os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(text), 0o600))
	out, err := os.Create(filepath.Join(dir, "out"))
	must(m.t, err)
	defer out.Close()
	cmd := exec.Command(requires.Command(m.t, "prometheus", "apt-get install prometheus"), "--config.file="+dir+"/prometheus.yml",
		"--storage.tsdb.path="+dir+"/data", fmt.Sprintf("--web.listen-address=127.0.0.1:%d", own))
	cmd.Stdout, cmd.Stderr = out, out
	must(m.t, cmd.Start())
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()

	// query returns the number of results, or why there is none.
	query := func(expr string) (int, error) {
		r, err := http.PostForm(fmt.Sprintf("http://127.0.0.1:%d/api/v1/query", own), url.Values{"query": {expr}})
		if err != nil {
			return 0, err
		}
		defer r.Body.Close()
		var a struct {
			Error string
			Data  struct{ Result []json.RawMessage }
		}
		if err := json.NewDecoder(r.Body).Decode(&a); err != nil {
			return 0, err
		}
		if a.Error != "" {
			return 0, fmt.Errorf("%s: %s", expr, a.Error)
		}
		return len(a.Data.Result), nil
	}
	m.eventually("Prometheus takes the page", func() error {
		n, err := query(`up{job="baetyl"} == 1`)
		if err == nil && n != 1 {
			said, _ := os.ReadFile(out.Name())
			err = fmt.Errorf("up is not 1: %s", said)
		}
		return err
	})
	var names []string
	for _, expr := range exprs(m.t) {
		if _, err := query(expr); err != nil {
			m.t.Error(err)
		}
		names = append(names, metricName.FindAllString(expr, -1)...)
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		if mode != masterapi.ModeNative && strings.HasPrefix(name, "baetyl_agent_") {
			continue // there is none
		}
		if n, err := query(name); err != nil || n == 0 {
			m.t.Errorf("rules or board ask for %s, which the device has not: %v", name, err)
		}
	}
	text, err = documented()
	must(m.t, err)
	for line := range strings.Lines(m.page()) {
		if f := strings.Fields(line); len(f) > 2 && f[1] == "TYPE" && strings.HasPrefix(f[2], "baetyl_") &&
			!strings.HasPrefix(f[2], "baetyl_hub_") && !strings.Contains(text, "`"+f[2]) {
			m.t.Errorf("docs/monitoring.md does not have %s", f[2])
		}
	}
}

// documented is docs/monitoring.md.
func documented() (string, error) {
	data, err := os.ReadFile(filepath.Join(root, "docs/monitoring.md"))
	return string(data), err
}
