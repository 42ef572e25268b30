// Package doctor examines a device: what does not work, what goes wrong soon, and what to do.
//
//	Checks ─► each on its own, for 2 seconds at most ─► findings: ok, info, warning, error, with a hint
//
// It promises that a check which panics, or waits for a dead disk, costs its own finding alone, and that nothing is
// changed. Without Options.Network nothing leaves the device. It works without a master; what only that knows is handed
// in. The ids of checks are stable: docs/doctor.md lists them.
package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

const (
	checkTimeout = 2 * time.Second // for one check
	atOnce       = 4               // checks
	maxFindings  = 50              // of one check; more are counted
)

// Options say what is examined.
type Options struct {
	Workdir string // absolute
	Mode    string
	Program string // path of the master's program; empty: not known
	Socket  string // absolute path of the API's socket; empty: it listens on tcp
	Admin   string // absolute path of the admin socket
	Config  string // path of conf.yml
	LogFile string // of the master; empty: none
	OTALog  string // of updates

	ConfigErr      error // conf.yml cannot be used
	Application    *app.Config
	ApplicationErr error    // application.yml cannot be used
	Advice         []string // what services ask for and cannot have
	// Engine examines what runs services, and whether it can run those of the application; nil: nobody can
	Engine  func(ctx context.Context) []masterapi.Finding
	Inspect *masterapi.Inspect // nil: no master runs
	Network bool               // checks may reach for the network

	Only, Skip []string // ids; Only empty: all
}

// Check is one examination.
type Check struct {
	ID   string
	What string // for people
	run  func(context.Context, *Options) []masterapi.Finding
}

// Checks are all of them, in the order of their findings.
var Checks = []Check{
	{"config", "conf.yml can be used", checkConfig},
	{"application", "application.yml can be used, and its services can have what they ask for", checkApplication},
	{"socket", "the sockets of the API are there, reachable, and safe", checkSocket},
	{"clock", "the clock is right", checkClock},
	{"disk", "file systems have room, inodes, and can be written", checkDisk},
	{"memory", "the machine has memory left", checkMemory},
	{"descriptors", "files can be opened", checkDescriptors},
	{"cgroups", "limits of services can be kept", checkCgroups},
	{"engine", "the engine works: docker answers, and has the images for a start without a network", checkEngine},
	{"ports", "ports of the application are free, or its own", checkPorts},
	{"runtimes", "Python and Node are there for the functions that need them", checkRuntimes},
	{"certificates", "certificates are valid for a while, readable, and fit their keys", checkCertificates},
	{"passwords", "no password is empty, or one out of the documents, where others can reach it", checkPasswords},
	{"permissions", "nobody but its owner can change, or read secrets of, the configuration", checkPermissions},
	{"state", "state files are whole", checkState},
	{"store", "the stores of hubs are whole and readable", checkStore},
	{"qos", "every hop of a route that is to lose nothing has QoS 1", checkQoS},
	{"update", "the last update has been done", checkUpdate},
	{"services", "services run, and do not crash", checkServices},
	{"boot", "the machine was shut down in order, and did not start just now", checkBoot},
	{"kernel", "the kernel has killed nothing for want of memory, and reports no broken disk", checkKernel},
	{"logs", "logs do not fill the disk", checkLogs},
	{"network", "names resolve, and brokers and the cloud answer (only with --network)", checkNetwork},
}

// Unknown returns the ids of list that no check has.
func Unknown(list []string) (out []string) {
	for _, id := range list {
		if !slices.ContainsFunc(Checks, func(c Check) bool { return c.ID == id }) {
			out = append(out, id)
		}
	}
	return out
}

// IDs are those of all checks.
func IDs() (out []string) {
	for _, c := range Checks {
		out = append(out, c.ID)
	}
	return out
}

// Examine runs the checks.
func Examine(ctx context.Context, o Options) masterapi.Examination {
	if o.Application == nil {
		o.Application = &app.Config{}
	}
	found := make([][]masterapi.Finding, len(Checks))
	places := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for i, c := range Checks {
		if len(o.Only) > 0 && !slices.Contains(o.Only, c.ID) || slices.Contains(o.Skip, c.ID) {
			continue
		}
		wg.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			found[i] = c.bounded(ctx, &o, checkTimeout)
		})
	}
	wg.Wait()
	out := masterapi.Examination{Findings: []masterapi.Finding{}}
	for _, list := range found {
		out.Findings = append(out.Findings, list...)
	}
	return out
}

// bounded runs a check. One that does not return is left alone: what it waits for holds it up, and nobody else.
func (c Check) bounded(ctx context.Context, o *Options, timeout time.Duration) []masterapi.Finding {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	done := make(chan []masterapi.Finding, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- one(masterapi.SeverityWarning, fmt.Sprintf("this check has failed: %v", p), "report it, with this line")
			}
		}()
		done <- c.run(ctx, o)
	}()
	var list []masterapi.Finding
	select {
	case list = <-done:
	case <-ctx.Done():
		list = one(masterapi.SeverityWarning, fmt.Sprintf("this check has not ended within %s", timeout),
			"a disk or file system may hang: look at the kernel's log, and at mounts of network file systems")
	}
	if more := len(list) - maxFindings; more > 0 {
		list = append(list[:maxFindings:maxFindings], one(masterapi.SeverityInfo, fmt.Sprintf("and %d more", more), "")...)
	}
	for i := range list {
		list[i].ID = c.ID
		list[i].Text = strings.Join(strings.Fields(list[i].Text), " ") // one line
	}
	return list
}

func one(severity, text, hint string) []masterapi.Finding {
	return []masterapi.Finding{{Severity: severity, Text: text, Hint: hint}}
}

func ok(format string, args ...any) []masterapi.Finding {
	return one(masterapi.SeverityOK, fmt.Sprintf(format, args...), "")
}

func info(format string, args ...any) []masterapi.Finding {
	return one(masterapi.SeverityInfo, fmt.Sprintf(format, args...), "")
}

// or is list, or what is to be said when nothing was found.
func or(list, none []masterapi.Finding) []masterapi.Finding {
	if len(list) == 0 {
		return none
	}
	return list
}

// Worst is the severity of the worst finding.
func Worst(e masterapi.Examination) string {
	order := []string{masterapi.SeverityOK, masterapi.SeverityInfo, masterapi.SeverityWarning, masterapi.SeverityError}
	worst := 0
	for _, f := range e.Findings {
		worst = max(worst, slices.Index(order, f.Severity))
	}
	return order[worst]
}
