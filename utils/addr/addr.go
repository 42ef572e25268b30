// Package addr reads the addresses of configuration files: tcp://host:port, unix://path, and the MQTT schemes.
package addr

import (
	"fmt"
	"net"
	"net/url"
	"strings"
)

// Parse splits an address into its scheme and what a dialer or listener of that scheme needs: host:port, or the path of a
// unix socket, which is everything after unix:// (unix://var/run/x.sock is relative, unix:///var/run/x.sock absolute).
// schemes lists those that are allowed, lower case.
func Parse(address string, schemes ...string) (scheme, rest string, err error) {
	scheme, rest, ok := strings.Cut(address, "://")
	scheme = strings.ToLower(scheme)
	if !ok || !in(schemes, scheme) {
		return "", "", fmt.Errorf("address %q: expected one of %s", address, strings.Join(schemes, "://, ")+"://")
	}
	if scheme == "unix" {
		if rest == "" {
			return "", "", fmt.Errorf("address %q: path of the socket is missing", address)
		}
		return scheme, rest, nil
	}
	u, err := url.Parse(address)
	if err != nil {
		return "", "", fmt.Errorf("address %q: %w", address, err.(*url.Error).Err)
	}
	if _, _, err := net.SplitHostPort(u.Host); err != nil {
		return "", "", fmt.Errorf("address %q: expected %s://host:port", address, scheme)
	}
	return scheme, u.Host, nil
}

func in(list []string, s string) bool {
	for _, e := range list {
		if e == s {
			return true
		}
	}
	return false
}
