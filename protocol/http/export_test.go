package http

import "time"

// Shorten makes the time limits of a server short enough for a test, before Serve.
func (s *Server) Shorten(header, body time.Duration) { s.header, s.body = header, body }

// Key is how the next server learns what an earlier one has kept.
func Key(name, file, address string) string {
	return NewServerWith(ServerConfig{Address: address}, Options{Name: name}, nil).key(file)
}

// ParseKey reads a key.
func ParseKey(name, key string) (file, address string, ok bool) { return parseKey(name, key) }

// ServeStreamFor is ServeStream with another time that a reader may take nothing.
var ServeStreamFor = serveStream
