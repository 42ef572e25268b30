package app

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Healthcheck says how the master sees whether the instances of a service work: with one probe, which counts as
// Liveness, or with one for each question. With neither, docker mode has what the daemon runs in the container: Test,
// or what the image brings. What is 0 is a default: docker's for what docker runs, else that of Probe.
type Healthcheck struct {
	Test        Test          `yaml:"test,omitempty" json:"test,omitempty"` // native mode runs it too
	Interval    time.Duration `yaml:"interval,omitempty" json:"interval,omitempty" validate:"min=0s"`
	Timeout     time.Duration `yaml:"timeout,omitempty" json:"timeout,omitempty" validate:"min=0s"`
	StartPeriod time.Duration `yaml:"start_period,omitempty" json:"start_period,omitempty" validate:"min=0s"`
	Retries     int           `yaml:"retries,omitempty" json:"retries,omitempty" validate:"min=0"`
	Disable     bool          `yaml:"disable,omitempty" json:"disable,omitempty"` // the image's own, too

	Action `yaml:",inline"` // of the one probe
	// is it up? Until this has succeeded once, the others wait
	Startup *Probe `yaml:"startup,omitempty" json:"startup,omitempty"`
	// does it work? An instance that does not is started anew, as its restart policy says
	Liveness *Probe `yaml:"liveness,omitempty" json:"liveness,omitempty"`
	// may others use it? An instance that says no is shown as unhealthy, and runs on
	Readiness *Probe `yaml:"readiness,omitempty" json:"readiness,omitempty"`
}

// Probe is what answers one of the questions, and how often it is asked.
type Probe struct {
	Action   `yaml:",inline"`
	Interval time.Duration `yaml:"interval,omitempty" json:"interval,omitempty" validate:"min=0s"` // 0: DefaultInterval
	Timeout  time.Duration `yaml:"timeout,omitempty" json:"timeout,omitempty" validate:"min=0s"`   // 0: DefaultTimeout
	// from the start of the instance: a failure in it counts for nothing, until the first success. 0: none
	StartPeriod time.Duration `yaml:"start_period,omitempty" json:"start_period,omitempty" validate:"min=0s"`
	// failures in a row that make it unhealthy. 0: DefaultRetries
	Retries int `yaml:"retries,omitempty" json:"retries,omitempty" validate:"min=0"`
}

// What a probe has that says nothing else.
const (
	DefaultInterval = 10 * time.Second
	DefaultTimeout  = 5 * time.Second
	DefaultRetries  = 3
)

// Limits of a probe: less costs more than it tells, and more tells nothing.
const (
	minInterval = time.Second
	maxPeriod   = 24 * time.Hour
	minTimeout  = 10 * time.Millisecond
	maxTimeout  = 10 * time.Minute
	maxRetries  = 1000
)

// Kind is the question that a probe answers.
type Kind string

// The kinds, as they stand in a file.
const (
	Startup   Kind = "startup"
	Liveness  Kind = "liveness"
	Readiness Kind = "readiness"
)

// Probes returns the probes of the master, with their defaults filled in. native tells whether it has to run Test,
// which docker does otherwise. None: the daemon knows, or nobody.
func (h *Healthcheck) Probes(native bool) map[Kind]Probe {
	out := map[Kind]Probe{}
	if h == nil || h.disabled() {
		return out
	}
	add := func(k Kind, p *Probe) {
		if p != nil {
			out[k] = p.filled()
		}
	}
	add(Startup, h.Startup)
	add(Liveness, h.Liveness)
	add(Readiness, h.Readiness)
	if one := h.one(native); len(one.kinds()) > 0 {
		add(Liveness, &one)
	}
	return out
}

// one is the probe of the form without kinds.
func (h *Healthcheck) one(native bool) Probe {
	p := Probe{
		Action: h.Action, Interval: h.Interval, Timeout: h.Timeout, StartPeriod: h.StartPeriod, Retries: h.Retries,
	}
	if native && len(h.Test) > 1 {
		p.Exec = &ProbeExec{Command: h.Test[1:]}
		if h.Test[0] == testShell {
			p.Exec.Command = []string{"/bin/sh", "-c", h.Test[1]}
		}
	}
	return p
}

// ByDaemon tells whether docker's own state of a container counts: that of Test or of the image.
func (h *Healthcheck) ByDaemon() bool {
	return h == nil || !h.disabled() && len(h.Probes(false)) == 0
}

func (h *Healthcheck) disabled() bool { return h.Disable || len(h.Test) > 0 && h.Test[0] == testNone }

// checks tells whether the health of a service with h can become known.
func (h *Healthcheck) checks() bool { return h != nil && !h.disabled() }

func (p Probe) filled() Probe {
	if p.Interval == 0 {
		p.Interval = DefaultInterval
	}
	if p.Timeout == 0 {
		p.Timeout = DefaultTimeout
	}
	if p.Retries == 0 {
		p.Retries = DefaultRetries
	}
	return p
}

const testForms = "[CMD, program, argument…], [CMD-SHELL, line] or [NONE]"

// What Test begins with.
const (
	testCommand = "CMD"
	testShell   = "CMD-SHELL"
	testNone    = "NONE"
)

// minHealth is docker's least duration of a health check; 0 is its default.
const minHealth = time.Millisecond

// check checks everything but what its action needs of the service. An error starts with the key.
func (h Healthcheck) check() error {
	probes := map[string]*Probe{
		string(Startup): h.Startup, string(Liveness): h.Liveness, string(Readiness): h.Readiness,
	}
	if kinds := h.Action.kinds(); len(kinds) > 0 {
		if len(h.Test) > 0 {
			return fmt.Errorf("test: %s says it too; keep one of them", kinds[0])
		}
		one := h.one(false)
		if err := one.check(); err != nil {
			return err
		}
		for _, key := range sortedKeys(probes) {
			if probes[key] != nil {
				return fmt.Errorf("%s: there is a probe without a kind, %s, too; write it below %s or another kind",
					key, kinds[0], Liveness)
			}
		}
		return h.checkDisable(kinds[0])
	}
	for _, key := range sortedKeys(probes) {
		if probes[key] == nil {
			continue
		}
		if err := probes[key].check(); err != nil {
			return fmt.Errorf("%s.%w", key, err)
		}
		if len(h.Test) > 0 {
			return fmt.Errorf("test: %s says it too; keep one of them", key)
		}
		if h.Interval > 0 || h.Timeout > 0 || h.StartPeriod > 0 || h.Retries > 0 {
			return fmt.Errorf("%s: interval, timeout, start_period and retries stand beside it; write them below it", key)
		}
		if err := h.checkDisable(key); err != nil {
			return err
		}
	}
	return h.checkTest()
}

func (h Healthcheck) checkDisable(key string) error {
	if h.Disable {
		return fmt.Errorf("disable: there is %s too; leave one of them out", key)
	}
	return nil
}

// checkTest checks what docker is told.
func (h Healthcheck) checkTest() error {
	for _, t := range []struct {
		key string
		d   time.Duration
	}{{"interval", h.Interval}, {"timeout", h.Timeout}, {"start_period", h.StartPeriod}} {
		if t.d > 0 && t.d < minHealth {
			return fmt.Errorf("%s: %s is less than %s, which is docker's least; raise it", t.key, t.d, minHealth)
		}
	}
	if len(h.Test) == 0 {
		return nil // that of the image, with the times above
	}
	kind, rest := h.Test[0], h.Test[1:]
	switch {
	case h.Disable && kind != testNone:
		return errors.New("disable: there is a test too; leave one of them out")
	case kind == testNone && len(rest) == 0, kind == testCommand && len(rest) > 0, kind == testShell && len(rest) == 1:
		return nil
	case slices.Contains([]string{testNone, testCommand, testShell}, kind):
		return fmt.Errorf("test: %q is incomplete or has too much; write %s", []string(h.Test), testForms)
	}
	return fmt.Errorf("test: begins with %q; write %s, or a line", kind, testForms)
}

func (p Probe) check() error {
	if err := p.Action.check(); err != nil {
		return err
	}
	for _, t := range []struct {
		key           string
		d, least, max time.Duration
	}{
		{"interval", p.Interval, minInterval, maxPeriod}, {"timeout", p.Timeout, minTimeout, maxTimeout},
		{"start_period", p.StartPeriod, 0, maxPeriod},
	} {
		if t.d != 0 && (t.d < t.least || t.d > t.max) {
			return fmt.Errorf("%s: %s is not from %s to %s", t.key, t.d, t.least, t.max)
		}
	}
	if p.Retries > maxRetries {
		return fmt.Errorf("retries: %d is more than %d; a larger interval does the same", p.Retries, maxRetries)
	}
	return nil
}
