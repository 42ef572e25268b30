package app

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Port is one published port.
type Port struct {
	IP        string // of the host; empty: all
	Host      int    // 0: the engine chooses
	Container int
	Protocol  string // tcp, udp or sctp
}

// ParsePort reads [[ip:]host:]container[/protocol], the short syntax of docker.
func ParsePort(text string) (Port, error) {
	bad := func(why string) (Port, error) {
		return Port{}, fmt.Errorf(
			"port %q: %s; write [ip:]host:container[/protocol], for example 0.0.0.0:1883:1883/tcp",
			text,
			why,
		)
	}
	rest, protocol, ok := strings.Cut(text, "/")
	if !ok {
		protocol = "tcp"
	}
	p := Port{Protocol: strings.ToLower(protocol)}
	switch p.Protocol {
	case "tcp", "udp", "sctp":
	default:
		return bad("protocol is not tcp, udp or sctp")
	}
	var err error
	host := ""
	if i := strings.LastIndexByte(rest, ':'); i >= 0 {
		host, rest = rest[:i], rest[i+1:]
		if host == "" {
			return bad("host port is missing")
		}
	}
	if p.Container, err = portNumber(rest); err != nil {
		return bad(err.Error())
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		p.IP, host = strings.Trim(host[:i], "[]"), host[i+1:]
		if net.ParseIP(p.IP) == nil {
			return bad("address of the host is not an IP address")
		}
		if host == "" { // ip::container is docker's way to say any port
			return p, nil
		}
	}
	if host != "" {
		if p.Host, err = portNumber(host); err != nil {
			return bad(err.Error())
		}
	}
	return p, nil
}

func portNumber(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is not a port number", text)
	}
	return int(n), nil
}

// Device is one device of the host that a container sees.
type Device struct{ Host, Container, Permissions string }

// ParseDevice reads host[:container[:permissions]]; permissions are of r, w and m, all by default.
func ParseDevice(text string) (Device, error) {
	parts := strings.Split(text, ":")
	d := Device{Host: parts[0], Container: parts[0], Permissions: "rwm"}
	if len(parts) > 1 {
		d.Container = parts[1]
	}
	if len(parts) > 2 {
		d.Permissions = parts[2]
	}
	if len(parts) > 3 || d.Host == "" || d.Container == "" || d.Permissions == "" ||
		strings.Trim(d.Permissions, "rwm") != "" {
		return Device{}, fmt.Errorf("device %q: write host[:container[:permissions]], for example /dev/sda:/dev/xvdc:r", text)
	}
	return d, nil
}
