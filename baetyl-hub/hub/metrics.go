package hub

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/baetyl/baetyl/baetyl-hub/topic"
	"github.com/baetyl/baetyl/utils/log"
)

// collector gives Prometheus the hub's figures when it asks for them.
type collector struct{ h *Hub }

// Describe implements prometheus.Collector. The figures describe themselves: it is an unchecked collector.
func (collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	for _, x := range c.h.Stats() {
		kind := prometheus.GaugeValue
		name := "baetyl_hub_" + x.Name
		if x.Counter {
			kind, name = prometheus.CounterValue, name+"_total"
		}
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, x.Help, nil, nil), kind, float64(x.Value))
	}
}

// serveMetrics answers /metrics, /healthz (the process lives) and /readyz (messages can be stored) on metrics.address. A port
// that is taken costs the metrics, not the hub.
func (h *Hub) serveMetrics(ctx context.Context) error {
	ln, err := net.Listen("tcp", h.cfg.Metrics.Address)
	if err != nil {
		h.log.WithError(err).WithField(log.KeyAddress, h.cfg.Metrics.Address).Warnf("no metrics: metrics.address can't be opened; set another, or \"\"")
		<-ctx.Done()
		return nil
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{h})
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !h.store.Writable() {
			http.Error(w, "messages can't be stored", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// announce publishes the figures below $SYS/broker/, for those who may read them.
func (h *Hub) announce(ctx context.Context) error {
	h.announceOnce()
	return every(ctx, h.cfg.Sys.Interval, h.announceOnce)
}

func (h *Hub) announceOnce() {
	for _, x := range h.Stats() {
		if x.Sys != "" {
			h.router.Announce(topic.SysPrefix+"broker/"+x.Sys, []byte(strconv.FormatInt(x.Value, 10)))
		}
	}
}
