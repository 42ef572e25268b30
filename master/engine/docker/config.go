//go:build unix

package docker

import (
	"fmt"
	"maps"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/go-connections/nat"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// Labels of containers, networks and volumes.
const (
	labelBaetyl   = "baetyl"            // its value is baetyl, on everything that a master makes (documents)
	labelShort    = "service"           // name of the service (documents)
	labelMaster   = "baetyl.master"     // id of the master: two on one daemon do not touch each other's containers
	labelRun      = "baetyl.run"        // one run of the master: containers of other runs are left-overs
	labelService  = "baetyl.service"    // name of the service
	labelInstance = "baetyl.instance"   // name of the instance
	labelHandle   = "baetyl.handle"     // of this start (engine.Spec)
	labelImage    = "baetyl.image"      // name of the image; the container is made of the id that it means
	labelDigest   = "baetyl.definition" // digest of the service's definition
)

// socketPath is where a container finds the socket of the API.
const socketPath = "/var/run/baetyl.sock"

// kernel says which limits the kernel of the host supports.
type kernel struct{ CPUs, CPUSet, Memory, Swap, Pids bool }

// mountPoint is a mount with its source found.
type mountPoint struct {
	Source   string // path on the host, or the name of a volume that docker manages
	Volume   app.Volume
	Target   string // absolute
	ReadOnly bool
}

// request is everything that the configuration of a container is made of.
type request struct {
	Service engine.Service
	Spec    engine.Spec
	Image   string // id of the image that the name in Service means
	Mounts  []mountPoint
	Socket  string // of the API on the host; empty: the API listens on tcp
	Folder  string // run folder of the instance on the host; empty: it has none
	Master  string
	Run     string
	Kernel  kernel
	// docker.hardened of conf.yml
	Hardened bool
}

// plan is a container to create. Endpoints beyond the first are connected after that: daemons before 25 take one.
type plan struct {
	Config    *container.Config
	Host      *container.HostConfig
	Endpoints []endpoint
	Warnings  []string
}

type endpoint struct {
	Network  string
	Settings *network.EndpointSettings
}

// configure makes the configuration of a container. It is a pure function: the same request gives the same plan, on
// every host.
func configure(r request) (plan, error) {
	s := r.Service
	p := plan{
		Config: &container.Config{
			Image:      r.Image,
			Hostname:   s.Hostname,
			Entrypoint: s.Entrypoint,
			Cmd:        s.Args,
			Env:        environ(variables(r)),
			Labels: map[string]string{
				labelBaetyl: labelBaetyl, labelShort: s.Name,
				labelMaster: r.Master, labelRun: r.Run, labelService: s.Name, labelInstance: r.Spec.Name,
				labelHandle: r.Spec.Handle, labelDigest: s.Digest(),
				labelImage: strings.TrimSpace(s.Image),
			},
			User: s.User,
			// The engine sends the signal itself; these are for `docker stop`, and for left-overs.
			StopSignal:  stopSignal(s.Stop.Signal),
			StopTimeout: stopTimeout(s.Stop.Grace),
		},
		Host: &container.HostConfig{
			RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled}, // the supervisor restarts
			LogConfig:     logConfig(s.Log),
			Runtime:       s.Runtime,
			Mounts:        binds(r, socketFor(r)),
		},
	}
	if r.Socket == "" && s.NetworkMode != "none" {
		p.Host.ExtraHosts = []string{hostName + ":host-gateway"}
	}
	for _, text := range s.ExtraHosts {
		name, address, err := app.ParseHost(text)
		if err != nil {
			return plan{}, err
		}
		p.Host.ExtraHosts = append(p.Host.ExtraHosts, name+":"+address)
	}
	var err error
	if p.Config.ExposedPorts, p.Host.PortBindings, err = ports(s.Ports); err != nil {
		return plan{}, err
	}
	if p.Host.Devices, err = devices(s.Devices); err != nil {
		return plan{}, err
	}
	p.Warnings = append(confine(p.Host, s.Service, r), limit(&p.Host.Resources, s.Resources, r.Kernel)...)
	p.Config.Healthcheck = health(s.Healthcheck)
	p.Host.DNS = s.DNS
	p.Endpoints = endpoints(s)
	p.Host.NetworkMode = container.NetworkMode(s.NetworkMode)
	if len(p.Endpoints) > 0 {
		p.Host.NetworkMode = container.NetworkMode(p.Endpoints[0].Network)
	}
	return p, nil
}

// stopSignal is empty when the image says which signal it is.
func stopSignal(s app.Signal) string {
	if s == 0 {
		return ""
	}
	return s.String()
}

// stopTimeout is in seconds; nil: docker's own.
func stopTimeout(grace time.Duration) *int {
	if grace <= 0 {
		return nil
	}
	seconds := int((grace + time.Second - 1) / time.Second)
	return &seconds
}

// socketFor returns the API's socket for instances that may use it. An instance that another service has started has no
// token, and some services have no right.
func socketFor(r request) string {
	if r.Spec.Env[masterapi.EnvServiceToken] == "" || len(r.Service.Rights()) == 0 {
		return ""
	}
	return r.Socket
}

// variables are those of the instance.
func variables(r request) map[string]string {
	if r.Folder == "" {
		return r.Spec.Env
	}
	vars := maps.Clone(r.Spec.Env)
	vars[masterapi.EnvRunDir] = runPath
	return vars
}

// environ is the environment in order, so that the same one reads the same in `docker inspect`.
func environ(vars map[string]string) []string {
	out := make([]string, 0, len(vars))
	for k, v := range vars {
		out = append(out, k+"="+v)
	}
	sort.Strings(out)
	return out
}

// binds returns the mounts of a container. They are mounts, not binds in the old syntax: with mounts a missing source
// is an error, with binds it becomes an empty folder that belongs to root.
func binds(r request, socket string) []mount.Mount {
	var out []mount.Mount
	for _, m := range r.Mounts {
		b := mount.Mount{Type: mount.TypeBind, Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly}
		if m.Volume.Managed() {
			b.Type, b.VolumeOptions = mount.TypeVolume, volumeOptions(m.Volume, r.Master)
		}
		out = append(out, b)
	}
	if socket != "" {
		out = append(out, mount.Mount{Type: mount.TypeBind, Source: socket, Target: socketPath, ReadOnly: true})
	}
	if r.Folder != "" {
		out = append(out, mount.Mount{Type: mount.TypeBind, Source: r.Folder, Target: runPath})
	}
	return out
}

func ports(texts []string) (nat.PortSet, nat.PortMap, error) {
	if len(texts) == 0 {
		return nil, nil, nil
	}
	exposed, bindings := nat.PortSet{}, nat.PortMap{}
	for _, text := range texts {
		all, err := app.ParsePorts(text)
		if err != nil {
			return nil, nil, err
		}
		for _, p := range all {
			port := nat.Port(strconv.Itoa(p.Container) + "/" + p.Protocol)
			exposed[port] = struct{}{}
			bindings[port] = append(bindings[port], nat.PortBinding{HostIP: p.IP, HostPort: hostPort(p)})
		}
	}
	return exposed, bindings, nil
}

// hostPort is a port of the host for docker, which chooses when there is none, and from a range.
func hostPort(p app.Port) string {
	switch {
	case p.Host == 0:
		return ""
	case p.HostEnd > 0:
		return fmt.Sprintf("%d-%d", p.Host, p.HostEnd)
	}
	return strconv.Itoa(p.Host)
}

func devices(texts []string) ([]container.DeviceMapping, error) {
	var out []container.DeviceMapping
	for _, text := range texts {
		d, err := app.ParseDevice(text)
		if err != nil {
			return nil, err
		}
		out = append(out, container.DeviceMapping{
			PathOnHost: d.Host, PathInContainer: d.Container, CgroupPermissions: d.Permissions,
		})
	}
	return out, nil
}

// limit sets the limits that the kernel supports, and returns a warning for each other one.
func limit(to *container.Resources, r app.Resources, can kernel) (warnings []string) {
	without := func(what, reason string) {
		warnings = append(warnings, fmt.Sprintf("%s is not limited: the kernel %s", what, reason))
	}
	if r.CPU.Cpus > 0 {
		if to.NanoCPUs = int64(r.CPU.Cpus * 1e9); !can.CPUs {
			to.NanoCPUs = 0
			without("processor time", "has no CFS quota")
		}
	}
	if r.CPU.SetCPUs != "" {
		if to.CpusetCpus = r.CPU.SetCPUs; !can.CPUSet {
			to.CpusetCpus = ""
			without("which cores to use", "has no cpusets")
		}
	}
	if r.Memory.Limit > 0 {
		if to.Memory = int64(r.Memory.Limit); !can.Memory {
			to.Memory = 0
			without("memory", "has no memory cgroup")
		}
	}
	if r.Memory.Swap > 0 && can.Memory {
		if to.MemorySwap = int64(r.Memory.Swap); !can.Swap {
			to.MemorySwap = 0
			without("swap", "does not account for swap")
		}
	}
	if r.Pids.Limit > 0 {
		n := r.Pids.Limit
		if to.PidsLimit = &n; !can.Pids {
			to.PidsLimit = nil
			without("the number of processes", "has no pids cgroup")
		}
	}
	return warnings
}

// endpoints are the networks of a service in order. In a network that is not docker's own, docker resolves names of
// containers, and the first instance has the name of its service.
func endpoints(s engine.Service) []endpoint {
	var out []endpoint
	for _, name := range s.NetworkNames() {
		a := s.Service.Networks[name]
		settings := &network.EndpointSettings{Aliases: a.Aliases}
		if a.IPv4Address != "" {
			settings.IPAMConfig = &network.EndpointIPAMConfig{IPv4Address: a.IPv4Address}
		}
		out = append(out, endpoint{name, settings})
	}
	return out
}
