//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// check runs `baetyl check` on the system and returns what it prints and its exit code.
func (s *system) check() (string, int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, s.path("bin/baetyl"), "check").CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	if exit != nil {
		return string(out), exit.ExitCode()
	}
	return string(out), 0
}

func TestCheckAcceptsTheExample(t *testing.T) {
	s := newSystem(t)
	out, code := s.check()
	if code != 0 || !strings.Contains(out, "OK!") {
		t.Errorf("check ends with %d and %q", code, out)
	}
	if _, err := os.Stat(s.path("var/run")); err == nil {
		t.Error("check has made var/run")
	}
}

// `baetyl check` finds what is wrong with the master's own files. Each error names file and key.
func TestBadInputOfTheMaster(t *testing.T) {
	nativeOnly(t, "the files are the same")
	for name, c := range map[string]struct {
		spoil func(s *system)
		want  []string // in one line of the output
	}{
		"unknown key of the master": {
			func(s *system) { s.replace(masterFile, "mode: native", "mode: native\ngraze: 10s") },
			[]string{"etc/baetyl/conf.yml", "graze", "grace"},
		},
		"wrong value of the master": {
			func(s *system) { s.replace(masterFile, "mode: native", "mode: nativ") },
			[]string{"etc/baetyl/conf.yml", "mode"},
		},
		"wrong type of the master": {
			func(s *system) { s.replace(masterFile, "mode: native", "mode: native\ngrace: soon") },
			[]string{"etc/baetyl/conf.yml", "grace", "soon"},
		},
		"unknown key": {
			func(s *system) { s.replace(appFile, "    image: baetyl-hub", "    imagee: baetyl-hub") },
			[]string{appFile, "services[0].imagee", "image"},
		},
		"wrong type": {
			func(s *system) { s.replace(appFile, "    replica: 1", "    replica: many") },
			[]string{appFile, "services[0].replica", "many"},
		},
		"missing volume": {
			func(s *system) {
				s.replace(appFile, "      - name: localhub-conf\n", "      - name: localhub-config\n")
			},
			[]string{appFile, "services[0]", ".mounts[1]", "localhub-config"},
		},
		"duplicate service name": {
			func(s *system) { s.replace(appFile, "  - name: timer\n", "  - name: localhub\n") },
			[]string{appFile, "services[6].name", "localhub"},
		},
		"duplicate volume name": {
			func(s *system) { s.replace(appFile, "  - name: timer-log\n    path", "  - name: timer-conf\n    path") },
			[]string{appFile, "volumes", "timer-conf"},
		},
		"name with a slash": {
			func(s *system) { s.replace(appFile, "  - name: timer\n", "  - name: ../timer\n") },
			[]string{appFile, "services[6].name", "../timer"},
		},
		"no image": {
			func(s *system) { s.replace(appFile, "    image: baetyl-hub\n", "") },
			[]string{appFile, "services[0]", ".image"},
		},
		"not YAML": {
			func(s *system) { s.write(appFile, "version: v0\nservices: [\n") },
			[]string{appFile, "line"},
		},
		"10 MB application.yml": {
			func(s *system) { s.write(appFile, "version: v0\n"+strings.Repeat("# filler\n", 10<<20/9)) },
			[]string{appFile, "bytes"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSystem(t)
			c.spoil(s)
			out, code := s.check()
			if code == 0 || !hasLine(out, c.want) {
				t.Errorf("check ends with %d and %q, expected %q in it", code, out, c.want)
			}
			if strings.Contains(out, "panic") || len(out) > 4000 {
				t.Errorf("check says %q", tail(out, 4000))
			}
		})
	}
}

// hasLine tells whether one line of text contains all parts.
func hasLine(text string, parts []string) bool {
next:
	for _, line := range strings.Split(text, "\n") {
		for _, part := range parts {
			if !strings.Contains(line, part) {
				continue next
			}
		}
		return true
	}
	return false
}

// A broken application file does not stop the master, and the log says what is wrong with it.
func TestStartWithABrokenApplication(t *testing.T) {
	s := newSystem(t)
	s.replace(appFile, "    replica: 1", "    replica: many")
	s.startMaster()
	s.logged("application.yml", "services[0].replica")
}

// An error in a service's files stops that service only. The log has the error with file and key, and inspect shows
// that the service does not run.
func TestBadInputOfServices(t *testing.T) {
	nativeOnly(t, "it starts systems beside each other, whose containers would have the same names")
	for name, c := range map[string]struct {
		service string
		spoil   func(s *system)
		want    []string
	}{
		"bad topic filter in a rule": {
			"function-manager",
			func(s *system) { s.replace(managerFile, "      topic: t\n", "      topic: t/#/x\n") },
			[]string{"etc/baetyl/service.yml", "rules[0].subscribe.topic", "t/#/x"},
		},
		"unknown function in a rule": {
			"function-manager",
			func(s *system) { s.replace(managerFile, "name: python36-sayhi\n", "name: python63-sayhi\n") },
			[]string{"etc/baetyl/service.yml", "rules[1].function.name", "python63-sayhi"},
		},
		"unknown key of the function manager": {
			"function-manager",
			func(s *system) { s.replace(managerFile, "  username: test", "  usernam: test") },
			[]string{"etc/baetyl/service.yml", "hub.usernam", "username"},
		},
		"unknown key of the hub": {
			"localhub",
			func(s *system) { s.replace(hubFile, "listen:", "listem:") },
			[]string{"etc/baetyl/service.yml", "listem", "listen"},
		},
		"bad permission of the hub": {
			"localhub",
			func(s *system) { s.replace(hubFile, "action: 'pub'", "action: 'push'") },
			[]string{"etc/baetyl/service.yml", "principals[0].permissions[0].action"},
		},
		"unreadable certificate": {
			"localhub",
			func(s *system) { s.replace(hubFile, "cert/server.pem", "cert/serfer.pem") },
			[]string{"etc/baetyl/service.yml", "certificate", "var/db/baetyl/cert/serfer.pem"},
		},
		"certificate that is none": {
			"localhub",
			func(s *system) {
				s.write("var/db/baetyl/localhub-cert-only-for-test/server.pem", "not a certificate")
			},
			[]string{"etc/baetyl/service.yml", "certificate", "var/db/baetyl/cert/server.pem"},
		},
		"wrong interval of the timer": {
			"timer",
			func(s *system) { s.replace(timerFile, "interval: 10s", "interval: -1s") },
			[]string{"etc/baetyl/service.yml", "timer.interval"},
		},
		"package without entry": {
			"timer",
			func(s *system) { s.write("var/db/baetyl/baetyl-timer/package.yml", "version: 1\n") },
			[]string{"timer", "package.yml"},
		},
		"package with an empty entry": {
			"timer",
			func(s *system) { s.write("var/db/baetyl/baetyl-timer/package.yml", "{}\n") },
			[]string{"timer", "package.yml", "entry"},
		},
		"entry that leaves the package": {
			"timer",
			func(s *system) {
				s.write("var/db/baetyl/baetyl-timer/package.yml", "entry: ../../../../../bin/baetyl\n")
			},
			[]string{"timer", "package.yml", "entry"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSystem(t).withProbe()
			c.spoil(s)
			s.startMaster()
			s.logged(c.want...)
			s.eventually("inspect shows "+c.service+" as not running", func() error {
				all, err := s.instances(c.service)
				if err != nil {
					return err
				}
				if len(all) != 1 || all[0].Status == "running" {
					return fmt.Errorf("it shows %s", describe(all))
				}
				return nil
			})
			s.waitStatus("probe", "running", 1)
		})
	}
}

// When another process listens on a port, the log names the address and the file to change.
func TestPortInUse(t *testing.T) {
	nativeOnly(t, "it starts two systems, whose containers would have the same names")
	a := newSystem(t).withoutTimer().start()
	b := newSystem(t).withoutTimer()
	b.replace(hubFile, "tcp://127.0.0.1:1883", "tcp://127.0.0.1:"+a.port["1883"])
	b.startMaster()
	b.logged("etc/baetyl/service.yml", "listen", a.port["1883"], "address already in use")
	b.waitStatus("timer", "running", 1)
}
