package app

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Port is one published port.
type Port struct {
	IP      string // of the host; empty: all
	Host    int    // 0: the engine chooses
	HostEnd int    // above Host: the engine chooses from Host to HostEnd
	// of the container
	Container int
	Protocol  string // tcp, udp or sctp
}

// ParsePorts reads [[ip:]host:]container[/protocol], the short syntax of docker. Both ports may be ranges, first-last,
// of the same length; a range of the host for one port of the container is what the engine chooses from.
func ParsePorts(text string) ([]Port, error) {
	bad := func(why string) ([]Port, error) {
		const form = "port %q: %s; write [ip:]host:container[/protocol], " +
			"for example 0.0.0.0:1883:1883/tcp or 8000-8010:8000-8010"
		return nil, fmt.Errorf(form, text, why)
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
	host := ""
	if i := strings.LastIndexByte(rest, ':'); i >= 0 {
		host, rest = rest[:i], rest[i+1:]
		if host == "" {
			return bad("host port is missing")
		}
	}
	first, last, err := portRange(rest)
	if err != nil {
		return bad(err.Error())
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 { // ip::container is docker's way to say any port
		p.IP, host = strings.Trim(host[:i], "[]"), host[i+1:]
		if net.ParseIP(p.IP) == nil {
			return bad("address of the host is not an IP address")
		}
	}
	if host != "" {
		if p.Host, p.HostEnd, err = portRange(host); err != nil {
			return bad(err.Error())
		}
	}
	many := last - first
	switch {
	case p.Host > 0 && many > 0 && p.HostEnd-p.Host != many:
		return bad("the ranges differ in length")
	case many > 0 || p.HostEnd == p.Host:
		p.HostEnd = 0
	}
	var out []Port
	for n := 0; n <= many; n++ {
		one := p
		one.Container = first + n
		if p.Host > 0 {
			one.Host = p.Host + n
		}
		out = append(out, one)
	}
	return out, nil
}

// portRange reads a port, or first-last.
func portRange(text string) (first, last int, err error) {
	a, b, ranged := strings.Cut(text, "-")
	if first, err = portNumber(a); err != nil || !ranged {
		return first, first, err
	}
	if last, err = portNumber(b); err == nil && last < first {
		err = fmt.Errorf("%s begins after its end", text)
	}
	return first, last, err
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
