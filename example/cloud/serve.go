package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/baetyl/baetyl/baetyl-hub/auth"
	"github.com/baetyl/baetyl/baetyl-hub/config"
	"github.com/baetyl/baetyl/baetyl-hub/hub"
	"github.com/baetyl/baetyl/protocol/cloud"
	"github.com/baetyl/baetyl/protocol/mqtt"
	"github.com/baetyl/baetyl/utils/cert"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/run"
)

const (
	searchInterval = time.Second // between two searches for new devices and pushes
	// a device that reports and does not know of a push so long after it was published gets it once more
	again = 5 * time.Second
)

// server is `cloud serve`.
type server struct {
	*store
	log        log.Logger
	hub        *hub.Hub
	config     config.Config // of the hub
	dispatcher *mqtt.Dispatcher
}

// serve runs hub, HTTPS server and publisher until ctx ends.
func serve(ctx context.Context, s *store, stderr io.Writer) error {
	logs := log.NewTo(stderr, log.Config{})
	v := &server{store: s, log: logs}
	var err error
	if v.config, err = s.hubConfig(); err != nil {
		return err
	}
	if v.hub, err = hub.Open(v.config, logs.WithField("part", "hub")); err != nil {
		return err
	}
	// The publisher is a client like any other: with its own certificate, over TLS.
	v.dispatcher, err = mqtt.NewDispatcher(
		mqtt.ClientInfo{
			Address:  "ssl://localhost:" + strconv.Itoa(s.MQTT),
			ClientID: publisher,
			Username: publisher,
			CA: s.path(
				"ca.pem",
			),
			Cert:         s.path("cloud.pem"),
			Key:          s.path("cloud.key"),
			CleanSession: true,
			KeepAlive:    time.Minute,
			Interval:     2 * time.Second,
		},
		mqtt.WithLogger(logs),
	)
	if err != nil {
		return err
	}
	var g run.Group
	g.Add("hub", v.hub.Run)
	g.Add("https", v.https)
	g.Add("mqtt", func(ctx context.Context) error { return v.dispatcher.Run(ctx, nil) })
	g.Add("publish", v.publish)
	logs.Infof("devices connect to %s and %s", s.address("ssl", s.MQTT), s.address("https", s.HTTPS))
	return g.Run(ctx)
}

// hubConfig is what stands in the service.yml of a hub elsewhere.
func (s *store) hubConfig() (config.Config, error) {
	var c config.Config
	if err := conf.SetDefaults(&c); err != nil {
		return c, err
	}
	c.Listen = []string{"ssl://:" + strconv.Itoa(s.MQTT)}
	c.Certificate.Config = cert.Config{CA: s.path("ca.pem"), Cert: s.path("server.pem"), Key: s.path("server.key")}
	c.Storage.Dir, c.Metrics.Address, c.Sys.Interval, c.Shutdown.Timeout = s.path("hub"), "", 0, 5*time.Second
	c.Message.Length.Max = cloud.MaxEvent + 1024
	var err error
	if c.Principals, err = s.principals(); err != nil {
		return c, err
	}
	return c, c.Validate()
}

// ownName is the pattern of the client id that a principal has.
var ownName = []string{"%u"}

// principals are those of the hub: the publisher, who may send events, and each device, which may receive its own. Each
// has the client id that is its name, and no other: no device stops the cloud, or a device that does not exist yet.
func (s *store) principals() ([]auth.Principal, error) {
	names, err := s.devices()
	if err != nil {
		return nil, err
	}
	own, err := readCertificate(s.path("cloud.pem"))
	if err != nil {
		return nil, err
	}
	out := []auth.Principal{{Username: publisher, CN: publisher, SerialNumber: cloud.Serial(own), ClientIDs: ownName,
		Permissions: []auth.Permission{{Action: auth.Publish, Permit: []string{cloud.Topic(desireTopic, "+")}}}}}
	for _, name := range names {
		cert, err := s.certificate(name)
		if err != nil {
			return nil, err
		}
		out = append(out, auth.Principal{Username: name, CN: name, SerialNumber: cloud.Serial(cert), ClientIDs: ownName,
			Permissions: []auth.Permission{{Action: auth.Subscribe, Permit: []string{cloud.Topic(desireTopic, name)}}}})
	}
	return out, nil
}

// publish looks for what the commands have left in the folder, until ctx ends.
func (v *server) publish(ctx context.Context) error {
	ticker := time.NewTicker(searchInterval)
	defer ticker.Stop()
	for {
		if err := v.reload(); err != nil {
			v.log.WithError(err).Errorf("devices not read")
		}
		names, _ := v.devices() // reload has said why there are none
		for _, name := range names {
			if err := v.publishTo(ctx, name); err != nil && ctx.Err() == nil {
				v.log.WithField("device", name).WithError(err).Warnf("event not published")
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// reload gives the hub the devices that there are now.
func (v *server) reload() error {
	principals, err := v.principals()
	if err != nil || reflect.DeepEqual(principals, v.config.Principals) {
		return err
	}
	c := v.config
	c.Principals = principals
	if err := v.hub.Reload(c); err != nil {
		return err
	}
	v.config = c
	return nil
}

// publishTo sends a device what it lacks. The hub keeps an event for a device that is away, once it has been there.
func (v *server) publishTo(ctx context.Context, name string) error {
	st, pushes, err := v.state(name)
	if err != nil {
		return err
	}
	for _, p := range due(pushes, st) {
		payload, err := json.Marshal(cloud.Event{Time: time.Now().UTC(), OTA: p})
		if err != nil {
			return err
		}
		timeout, cancel := context.WithTimeout(ctx, again)
		err = v.dispatcher.PublishWait(timeout, mqtt.Message{Topic: cloud.Topic(desireTopic, name), QOS: 1, Payload: payload})
		cancel()
		if err != nil {
			return fmt.Errorf("publish %s: %w", p.Trace, err)
		}
		v.log.WithField("device", name).WithField("trace", p.Trace).Infof("event published")
		if err := v.change(name, func(st *state) { st.Updates[p.Trace].Published = time.Now() }); err != nil {
			return err
		}
	}
	return nil
}

// due returns the updates to publish. Of each type only the newest counts. It is due when it was never published, or
// when the device has reported some time after that and still does not know of it: an event is lost on a device that
// had never connected before.
func due(pushes []cloud.OTA, st state) []cloud.OTA {
	var seen time.Time
	if n := len(st.Reports); n > 0 {
		seen = st.Reports[n-1].Time
	}
	var out []cloud.OTA
	for i, p := range pushes {
		superseded := slices.ContainsFunc(pushes[i+1:], func(later cloud.OTA) bool { return later.Type == p.Type })
		known := st.Updates[p.Trace]
		if !superseded && len(known.Steps) == 0 && (known.Published.IsZero() || seen.After(known.Published.Add(again))) {
			out = append(out, p)
		}
	}
	return out
}
