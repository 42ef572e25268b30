package metrics

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// meant answers only requests whose Host header is one that the server may have: a web page in a browser that can reach
// the server must not read it under a name of its own, which it lets point here (DNS rebinding). These are addresses,
// names without a dot, which nobody can register, the name of this machine, that in Address, and hosts.
func (s *Server) meant(next http.Handler) http.Handler {
	known := slices.Clone(s.Hosts)
	if host, _, err := net.SplitHostPort(s.Address); err == nil {
		known = append(known, host)
	}
	if name, err := os.Hostname(); err == nil {
		known = append(known, name)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if host := hostOf(r.Host); !expected(host, known) {
			text := fmt.Sprintf("%q is no name of this server; ask by address, or add the name to metrics.hosts", host)
			http.Error(w, text, http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hostOf is the host of a Host header, without port and brackets.
func hostOf(header string) string {
	host, _, err := net.SplitHostPort(header)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(header, "["), "]")
	}
	return strings.TrimSuffix(host, ".")
}

func expected(host string, known []string) bool {
	if _, err := netip.ParseAddr(host); err == nil || !strings.Contains(host, ".") && !strings.Contains(host, ":") {
		return true
	}
	return slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, host) })
}
