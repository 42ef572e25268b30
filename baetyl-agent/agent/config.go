package agent

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/baetyl/baetyl/baetyl-agent/volume"
	"github.com/baetyl/baetyl/protocol/cloud"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/mqtt"
	"github.com/baetyl/baetyl/utils/log"
)

// config is the module's part of service.yml ("baetyl-agent Configuration").
type config struct {
	Remote struct {
		MQTT   mqtt.ClientInfo   `yaml:"mqtt" json:"mqtt"`
		HTTP   http.ClientConfig `yaml:"http" json:"http"`
		Report struct {
			URL      string        `yaml:"url" json:"url"`     // default cloud.ReportURL
			Topic    string        `yaml:"topic" json:"topic"` // accepted; nothing is published, as in 2019
			Interval time.Duration `yaml:"interval" json:"interval" default:"20s" validate:"min=1"`
		} `yaml:"report" json:"report"`
		Desire struct {
			Topic string `yaml:"topic" json:"topic"` // default cloud.DesireTopic; %s is the client id
		} `yaml:"desire" json:"desire"`
	} `yaml:"remote" json:"remote"`
	OTA struct {
		Timeout time.Duration `yaml:"timeout" json:"timeout" default:"5m" validate:"min=1"` // without progress after which an update is given up
		Logger  log.Config    `yaml:"logger" json:"logger"`                                 // path of the master's log of updates; the rest is the master's
		Limits  volume.Limits `yaml:"limits" json:"limits"`                                 // newer than the documents
	} `yaml:"ota" json:"ota"`
}

// Folders and files as the agent sees them: the master's var/db/baetyl is mounted at dataDir.
const (
	dataDir = "var/db/baetyl/volumes"
	otaLog  = dataDir + "/ota.log"
)

// hosts are clouds of 2019 whose reports go to another address than their MQTT.
var hosts = map[string]string{
	"bj.baidubce.com": "https://iotedge.bj.baidubce.com",
	"gz.baidubce.com": "https://iotedge.gz.baidubce.com",
}

// Validate fills in what depends on other keys and checks what tags can't. The files of certificates are checked when they are used.
func (c *config) Validate() error {
	r := &c.Remote
	if r.MQTT.Address == "" {
		return errors.New("remote.mqtt.address: remote mqtt address missing")
	}
	if scheme, _, _ := strings.Cut(strings.ToLower(r.MQTT.Address), "://"); scheme == "tcp" || scheme == "mqtt" || scheme == "ws" {
		return fmt.Errorf("remote.mqtt.address: %s:// is not encrypted; use ssl:// or wss://", scheme)
	}
	for _, k := range []struct{ key, value string }{{"clientid", r.MQTT.ClientID}, {"cert", r.MQTT.Cert}, {"key", r.MQTT.Key}} {
		if k.value == "" {
			return fmt.Errorf("remote.mqtt.%s: must not be empty", k.key)
		}
	}
	if strings.ContainsAny(r.MQTT.ClientID, "+#/") {
		return fmt.Errorf("remote.mqtt.clientid: %q has one of + # /, and it is a part of topics", r.MQTT.ClientID)
	}
	if r.HTTP.Address == "" {
		for part, address := range hosts {
			if strings.Contains(r.MQTT.Address, part) {
				r.HTTP.Address = address
			}
		}
	}
	if r.HTTP.Address == "" {
		return errors.New("remote.http.address: remote http address missing")
	}
	if !strings.HasPrefix(strings.ToLower(r.HTTP.Address), "https://") {
		return errors.New("remote.http.address: must begin with https://")
	}
	if r.HTTP.CA == "" {
		return errors.New("remote.http.ca: remote http ca missing, must enable ssl")
	}
	for value, def := range map[*string]string{&r.Report.URL: cloud.ReportURL, &r.Report.Topic: cloud.ReportTopic,
		&r.Desire.Topic: cloud.DesireTopic, &c.OTA.Logger.Path: otaLog} {
		if *value == "" {
			*value = def
		}
	}
	if !strings.HasPrefix(r.Report.URL, "/") {
		return fmt.Errorf("remote.report.url: %q does not begin with /", r.Report.URL)
	}
	r.MQTT.Subscriptions = append(r.MQTT.Subscriptions, mqtt.TopicInfo{Topic: c.desireTopic(), QOS: 1})
	if err := r.MQTT.Check(); err != nil {
		return fmt.Errorf("remote.mqtt.%w", err)
	}
	return nil
}

func (c *config) desireTopic() string {
	return cloud.Topic(c.Remote.Desire.Topic, c.Remote.MQTT.ClientID)
}
