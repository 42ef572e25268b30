package addr

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// Host is the host of a Host header, without port and brackets.
func Host(header string) string {
	host, _, err := net.SplitHostPort(header)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(header, "["), "]")
	}
	return strings.TrimSuffix(host, ".")
}

// Names are those that Expected may be told of a server that listens at host:port: its host, that of this machine, and
// more.
func Names(hostPort string, more []string) []string {
	names := slices.Clone(more)
	if host, _, err := net.SplitHostPort(hostPort); err == nil {
		names = append(names, host)
	}
	if name, err := os.Hostname(); err == nil {
		names = append(names, name)
	}
	return names
}

// Expected tells whether a server may have the name of Host: a web page in a browser that can reach the server must not
// read it under a name of its own, which it lets point there (DNS rebinding). Addresses are expected, names without a
// dot, which nobody can register, and known ones.
func Expected(host string, known []string) bool {
	if _, err := netip.ParseAddr(host); err == nil || !strings.Contains(host, ".") && !strings.Contains(host, ":") {
		return true
	}
	return slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, host) })
}
