package metrics

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"

	"github.com/baetyl/baetyl/utils/addr"
)

// meant answers only requests whose Host header is one that the server may have (addr.Expected): known are the name of
// this machine, that in Address, and hosts.
func (s *Server) meant(next http.Handler) http.Handler {
	known := slices.Clone(s.Hosts)
	if host, _, err := net.SplitHostPort(s.Address); err == nil {
		known = append(known, host)
	}
	if name, err := os.Hostname(); err == nil {
		known = append(known, name)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if host := addr.Host(r.Host); !addr.Expected(host, known) {
			text := fmt.Sprintf("%q is no name of this server; ask by address, or add the name to metrics.hosts", host)
			http.Error(w, text, http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}
