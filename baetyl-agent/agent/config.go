package agent

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/baetyl/baetyl/baetyl-agent/volume"
	"github.com/baetyl/baetyl/protocol/admin"
	"github.com/baetyl/baetyl/protocol/cloud"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/mqtt"
	"github.com/baetyl/baetyl/utils/addr"
	"github.com/baetyl/baetyl/utils/log"
)

// config is the module's part of service.yml ("baetyl-agent Configuration").
type config struct {
	Remote struct {
		MQTT   mqtt.ClientInfo   `yaml:"mqtt" json:"mqtt"`
		HTTP   http.ClientConfig `yaml:"http" json:"http"` // its address may follow from that of MQTT
		Report struct {
			// cloud.ReportURL
			URL string `yaml:"url" json:"url" default:"/v3/edge/info" zero:"default"`
			// cloud.ReportTopic; accepted, nothing is published, as in 2019
			Topic    string        `yaml:"topic" json:"topic" default:"$baidu/iot/edge/%s/core/forward" zero:"default"`
			Interval time.Duration `yaml:"interval" json:"interval" default:"20s" validate:"min=1"`
		} `yaml:"report" json:"report"`
		Desire struct {
			// cloud.DesireTopic; %s is the client id
			Topic string `yaml:"topic" json:"topic" default:"$baidu/iot/edge/%s/core/backward" zero:"default"`
		} `yaml:"desire" json:"desire"`
	} `yaml:"remote" json:"remote"`
	OTA struct {
		// time without progress after which an update fails
		Timeout time.Duration `yaml:"timeout" json:"timeout" default:"5m" validate:"min=1"`
		// path of the master's log of updates; the rest is the master's
		Logger log.Config `yaml:"logger" json:"logger" default:"{\"path\":\"var/db/baetyl/volumes/ota.log\"}" zero:"default"`
		// not in Baetyl 1.0
		Limits volume.Limits `yaml:"limits" json:"limits"`
	} `yaml:"ota" json:"ota"`
	Metrics admin.Metrics `yaml:"metrics" json:"metrics"`
	Admin   admin.Config  `yaml:"admin" json:"admin"` // interface for persons, with the numbers for the master
}

// dataDir is where the agent sees the master's var/db/baetyl.
const dataDir = "var/db/baetyl/volumes"

// hosts are clouds of 2019 whose reports go to another address than their MQTT.
var hosts = []struct{ part, address string }{
	{"bj.baidubce.com", "https://iotedge.bj.baidubce.com"},
	{"gz.baidubce.com", "https://iotedge.gz.baidubce.com"},
}

// Complete derives address and CA of the report server from those of MQTT ("No configuration required"), and adds the
// subscription for events.
func (c *config) Complete() {
	r := &c.Remote
	if r.HTTP.Address == "" {
		r.HTTP.Address = reportAddress(r.MQTT.Address)
	}
	r.HTTP.CA = cmp.Or(r.HTTP.CA, r.MQTT.CA)
	r.MQTT.Subscriptions = append(r.MQTT.Subscriptions, mqtt.TopicInfo{Topic: c.desireTopic(), QOS: 1})
}

// reportAddress is where a cloud takes reports: where it takes MQTT, at the port of HTTPS, or as hosts has it. It is
// empty for an address that is none.
func reportAddress(mqtt string) string {
	for _, h := range hosts {
		if strings.Contains(mqtt, h.part) {
			return h.address
		}
	}
	u, err := url.Parse(mqtt)
	if err != nil || u.Hostname() == "" {
		return ""
	}
	return "https://" + strings.TrimSuffix(u.Host, ":"+u.Port())
}

// Validate checks what tags can't. Of the files that it names, those of remote.mqtt are read.
func (c *config) Validate() error {
	r := &c.Remote
	if r.MQTT.Address == "" {
		return errors.New("remote.mqtt.address: remote mqtt address missing; write ssl://host:port")
	}
	if a, err := addr.Dial(r.MQTT.Address, "1883", addr.MQTT...); err == nil && !a.Secure() {
		return fmt.Errorf("remote.mqtt.address: %s:// is not encrypted; use ssl:// or wss://", a.Scheme)
	}
	if _, err := addr.Dial(r.MQTT.Address, "", "ssl", "tls", "mqtts", "wss"); err != nil {
		return fmt.Errorf("remote.mqtt.address: %w", err)
	}
	required := []struct{ key, value string }{
		{"clientid", r.MQTT.ClientID},
		{"cert", r.MQTT.Cert},
		{"key", r.MQTT.Key},
	}
	for _, k := range required {
		if k.value == "" {
			return fmt.Errorf("remote.mqtt.%s: must not be empty; the key is required", k.key)
		}
	}
	if strings.ContainsAny(r.MQTT.ClientID, "+#/") {
		return fmt.Errorf("remote.mqtt.clientid: %q has one of + # /, and it is a part of topics", r.MQTT.ClientID)
	}
	if _, err := addr.Dial(r.HTTP.Address, "", "https"); err != nil {
		return fmt.Errorf("remote.http.address: %w", err)
	}
	if r.HTTP.CA == "" {
		return errors.New("remote.http.ca: remote http ca missing, must enable ssl; name the PEM file of the server's CA, " +
			"there or at remote.mqtt.ca")
	}
	if !strings.HasPrefix(r.Report.URL, "/") {
		return fmt.Errorf("remote.report.url: %q does not begin with /; write a path such as %s",
			r.Report.URL, cloud.ReportURL)
	}
	if err := mqtt.CheckFilter(c.desireTopic()); err != nil {
		return fmt.Errorf("remote.desire.topic: %q: %w", r.Desire.Topic, err)
	}
	if err := r.MQTT.Check(); err != nil {
		return fmt.Errorf("remote.mqtt.%w", err)
	}
	if err := c.Metrics.Check(); err != nil {
		return err
	}
	return c.Admin.Check()
}

func (c *config) desireTopic() string {
	return cloud.Topic(c.Remote.Desire.Topic, c.Remote.MQTT.ClientID)
}
