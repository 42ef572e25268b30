package probe_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/baetyl/baetyl/master/probe"
	"github.com/baetyl/baetyl/protocol/app"
)

// What one probe costs, the answering side included.
func BenchmarkProbe(b *testing.B) {
	web := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer web.Close()
	broker, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer broker.Close()
	go func() {
		for {
			conn, err := broker.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadFull(conn, make([]byte, 14))
			_, _ = io.WriteString(conn, "\x20\x02\x00\x04")
			conn.Close()
		}
	}()
	for name, a := range map[string]app.Action{
		"http": {HTTP: &app.ProbeHTTP{Endpoint: at(web.Listener)}},
		"tcp":  {TCP: &app.ProbeTCP{Endpoint: at(web.Listener)}},
		"mqtt": {MQTT: &app.ProbeMQTT{Endpoint: at(broker)}},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r, _ := probe.Run(b.Context(), app.Probe{Action: a, Timeout: time.Minute}, target{})
				if !r.OK {
					b.Fatal(r.Output)
				}
			}
		})
	}
}
