package doctor

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

func checkEngine(ctx context.Context, o *Options) []masterapi.Finding {
	if o.Engine == nil {
		return info("not examined: no engine is known")
	}
	return or(o.Engine(ctx), ok("%s works", o.Mode))
}

// checkPorts finds ports of services that do not run and that somebody else has.
func checkPorts(ctx context.Context, o *Options) (out []masterapi.Finding) {
	n := 0
	for _, s := range o.Application.Services {
		for _, address := range o.addresses(s) {
			n++
			if o.runs(s.Name) {
				continue
			}
			l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
			if err == nil {
				_ = l.Close()
				continue
			}
			if strings.Contains(err.Error(), "in use") {
				out = append(out, one(failed, fmt.Sprintf("service %s wants %s, which %s has", s.Name, address, ownerOf(address)),
					"stop that, or choose another port")...)
			}
		}
	}
	return or(out, ok("%d ports", n))
}

// addresses are where a service listens on the host.
func (o *Options) addresses(s app.Service) (out []string) {
	for _, text := range s.Ports {
		ports, _ := app.ParsePorts(text) // validated
		for _, p := range ports {
			if p.Host > 0 && p.HostEnd == 0 && p.Protocol == "tcp" {
				out = append(out, net.JoinHostPort(p.IP, strconv.Itoa(p.Host)))
			}
		}
	}
	if o.Mode != masterapi.ModeNative && s.NetworkMode != "host" {
		return out
	}
	for _, m := range o.modules(s) {
		list, _ := m.value["listen"].([]any)
		for _, l := range list {
			if _, rest, ok := strings.Cut(fmt.Sprint(l), "://"); ok {
				host, _, _ := strings.Cut(rest, "/")
				if _, _, err := net.SplitHostPort(host); err == nil {
					out = append(out, host)
				}
			}
		}
	}
	return out
}

// runs tells whether an instance of a service runs; without a master nobody knows of any.
func (o *Options) runs(service string) bool {
	if o.Inspect == nil {
		return false
	}
	for _, s := range o.Inspect.Services {
		if s.Name == service {
			running := func(i masterapi.Instance) bool { return i.Status == masterapi.StatusRunning }
			return slices.ContainsFunc(s.Instances, running)
		}
	}
	return false
}

// ownerOf names the process that listens at an address.
func ownerOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	n, err := strconv.Atoi(port)
	if err != nil {
		return "another program"
	}
	inodes := map[string]bool{}
	for _, path := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		data, _ := head(path, 4<<20)
		for line := range strings.Lines(string(data)) {
			f := strings.Fields(line)
			if len(f) > 9 && f[3] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", n)) {
				inodes["socket:["+f[9]+"]"] = true
			}
		}
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, l := range links {
		if to, err := os.Readlink(l); err == nil && inodes[to] {
			pid := strings.Split(l, "/")[2]
			name, _ := head("/proc/"+pid+"/comm", 64)
			return fmt.Sprintf("%s (pid %s)", bytes.TrimSpace(name), pid)
		}
	}
	return "another program"
}

// checkRuntimes looks for the interpreters that functions need.
func checkRuntimes(_ context.Context, o *Options) (out []masterapi.Finding) {
	if o.Mode != masterapi.ModeNative {
		return ok("they are in the images")
	}
	n := 0
	for image, programs := range map[string][]string{
		"function-python": {"python3", "python"}, "function-node": {"node", "nodejs"},
	} {
		for _, s := range o.Application.Services {
			if !strings.Contains(s.Image, image) {
				continue
			}
			n++
			if !slices.ContainsFunc(programs, installed) {
				out = append(out, one(failed, fmt.Sprintf("service %s needs %s, which is not installed", s.Name, programs[0]),
					"install it with the packages of this system")...)
			}
		}
	}
	return or(out, ok("%d services need one", n))
}

func installed(program string) bool {
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if info, err := os.Stat(filepath.Join(dir, program)); err == nil && info.Mode()&0o111 != 0 {
			return true
		}
	}
	return false
}

func checkUpdate(_ context.Context, o *Options) (out []masterapi.Finding) {
	data, err := head(o.OTALog, 4<<20)
	if err != nil {
		return info("there was no update")
	}
	records, err := masterapi.ReadOTALog(bytes.NewReader(data))
	if err != nil {
		out = append(out, one(warning, err.Error(), "the log of updates is damaged; the next update begins it anew")...)
	}
	if len(records) == 0 {
		return or(out, info("there was no update"))
	}
	last := records[len(records)-1]
	at := last.Time.Format(time.RFC3339)
	switch {
	case last.Step == masterapi.StepUpdated:
		out = append(out, ok("done at %s", at)...)
	case masterapi.Final(last.Step):
		why := last.Error
		for _, r := range records {
			if why == "" {
				why = r.Error
			}
		}
		out = append(out, one(warning, fmt.Sprintf("the last update ended at %s with %s: %s", at, last.Step, why),
			"correct it, and apply it again")...)
	default:
		out = append(out, info("an update is at %s since %s", last.Step, at)...)
	}
	return out
}

const manyRestarts = 5

func checkServices(_ context.Context, o *Options) (out []masterapi.Finding) {
	if o.Inspect == nil {
		return one(warning, "no master runs here", "systemctl start baetyl, or baetyl start")
	}
	if o.Inspect.Error != "" {
		out = append(out, one(failed, o.Inspect.Error, "")...)
	}
	for _, s := range o.Inspect.Services {
		hint := "baetyl logs " + s.Name
		if s.Error != "" {
			out = append(out, one(failed, fmt.Sprintf("service %s: %s", s.Name, s.Error), hint)...)
			continue
		}
		for _, i := range s.Instances {
			switch {
			case i.Status == masterapi.StatusFailed, i.Status == masterapi.StatusRestarting:
				out = append(out, one(failed, fmt.Sprintf("instance %s is %s: %s", i.Name, i.Status, i.Error), hint)...)
			case i.Restarts >= manyRestarts:
				const text = "instance %s was restarted %d times: %s"
				out = append(out, one(warning, fmt.Sprintf(text, i.Name, i.Restarts, i.Error), hint)...)
			}
			for _, w := range i.Warnings {
				out = append(out, one(warning, fmt.Sprintf("instance %s: %s", i.Name, w), "")...)
			}
		}
	}
	return or(out, ok("%d services", len(o.Inspect.Services)))
}
