package metrics

import (
	"fmt"
	"net/http"

	"github.com/baetyl/baetyl/utils/addr"
)

// meant answers only requests whose Host header is one that the server may have (addr.Names, addr.Expected).
func (s *Server) meant(next http.Handler) http.Handler {
	known := addr.Names(s.Address, s.Hosts)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if host := addr.Host(r.Host); !addr.Expected(host, known) {
			text := fmt.Sprintf("%q is no name of this server; ask by address, or add the name to metrics.hosts", host)
			http.Error(w, text, http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}
