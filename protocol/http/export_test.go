package http

import "time"

// Shorten makes the time limits of a server short enough for a test, before Serve.
func (s *Server) Shorten(header, body time.Duration) { s.header, s.body = header, body }
