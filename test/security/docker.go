//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// container is what docker says of one.
type container struct {
	User       string
	Privileged bool
	ReadOnly   bool // its root
	Networks   []string
	Ports      []string // of the host, with its address, as the documents have them
	Binds      []mount
	Options    []string // that take something away, or give it
}

// inspectContainer asks docker.
func (f *facts) inspectContainer(id string) error {
	out, err := exec.Command("docker", "inspect", id).Output()
	if err != nil {
		return fmt.Errorf("docker inspect: %w", err)
	}
	var all []struct {
		Config struct{ User string }
		Mounts []struct {
			Destination string
			RW          bool
		}
		HostConfig struct {
			Privileged, ReadonlyRootfs bool
			CapAdd, CapDrop            []string
			SecurityOpt                []string
			PidMode, IpcMode           string
			PortBindings               map[string][]struct {
				IP string `json:"HostIp"`
			}
		}
		NetworkSettings struct{ Networks map[string]any }
	}
	if err := json.Unmarshal(out, &all); err != nil || len(all) != 1 {
		return fmt.Errorf("read what docker says of %s: %w", id, err)
	}
	c := all[0]
	f.Container = &container{User: c.Config.User, Privileged: c.HostConfig.Privileged,
		ReadOnly: c.HostConfig.ReadonlyRootfs}
	for _, m := range c.Mounts {
		f.Container.Binds = append(f.Container.Binds, mount{Path: m.Destination, ReadOnly: !m.RW})
	}
	slices.SortFunc(f.Container.Binds, func(a, b mount) int { return strings.Compare(a.Path, b.Path) })
	for n := range c.NetworkSettings.Networks {
		f.Container.Networks = append(f.Container.Networks, n)
	}
	for p, hosts := range c.HostConfig.PortBindings {
		for _, host := range hosts {
			f.Container.Ports = append(f.Container.Ports, hostName(host.IP)+": "+p)
		}
	}
	slices.Sort(f.Container.Networks)
	slices.Sort(f.Container.Ports)
	for what, values := range map[string][]string{
		"cap_add": c.HostConfig.CapAdd, "cap_drop": c.HostConfig.CapDrop, "security_opt": c.HostConfig.SecurityOpt,
	} {
		if len(values) > 0 {
			f.Container.Options = append(f.Container.Options, what+" "+strings.Join(values, " "))
		}
	}
	if c.HostConfig.PidMode != "" {
		f.Container.Options = append(f.Container.Options, "pid "+c.HostConfig.PidMode)
	}
	slices.Sort(f.Container.Options)
	return nil
}

var (
	imageLine = regexp.MustCompile(`(?m)^( *image: )(baetyl-[a-z0-9-]+)$`)
	portLine  = regexp.MustCompile(`(?m)^( *- (?:[0-9.]+:)?)\d+:(\d+)$`)
)

// observeDocker starts the docker example and looks at it. Its ports are free ones of the host.
func observeDocker(dir, images string) ([]facts, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := complete(dir, masterapi.ModeDocker, images); err != nil {
		return nil, fmt.Errorf("add agent and bridge: %w", err)
	}
	file := filepath.Join(dir, applicationFile)
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	hub := ""
	text = imageLine.ReplaceAll(text, []byte("${1}"+images+"${2}"))
	text = portLine.ReplaceAllFunc(text, func(line []byte) []byte {
		part := portLine.FindSubmatch(line)
		var port string
		if port, err = freePort(); err != nil {
			return line
		}
		if string(part[2]) == "1883" {
			hub = port
		}
		return []byte(string(part[1]) + port + ":" + string(part[2]))
	})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return nil, err
	}
	s, err := start(dir, hub)
	if err != nil {
		return nil, err
	}
	defer s.stop()
	return s.observe(firstProcess)
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// firstProcess is the process number 1 of a container, as the host sees it.
func firstProcess(i masterapi.Instance) (pid int, err error) {
	if i.Container == nil {
		return 0, fmt.Errorf("instance %s has no container", i.Name)
	}
	out, err := exec.Command("docker", "inspect", "--format", "{{.State.Pid}}", i.Container.ID).Output()
	if err != nil {
		return 0, fmt.Errorf("docker inspect: %w", err)
	}
	_, err = fmt.Sscan(string(out), &pid)
	return pid, err
}
