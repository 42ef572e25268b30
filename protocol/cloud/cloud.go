// Package cloud is what an agent on a device and the cloud that manages it must agree on: events, reports, topics,
// headers, and how a report is sealed (the wire format of 2019).
//
//	cloud ──event: {"event": "OTA", …}──► MQTT, desire topic ──► agent ──GET url of a volume──► packages of the cloud
//	      ◄── POST ReportURL, three headers, Seal(Report) ─────────┘
//
// It promises that what Parse returns is safe to work with: known type, a trace, a volume below Root that cannot
// leave it, a URL of http or https, a digest. It opens no connection.
package cloud

import (
	"strings"
	"time"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// Root is the folder, relative to the master's working directory, below which every volume lies that comes from the
// cloud.
const Root = "var/db/baetyl"

// Defaults of the agent's configuration (remote.report, remote.desire).
const (
	ReportURL   = "/v3/edge/info"                     // path of the HTTPS server that takes reports
	ReportTopic = "$baidu/iot/edge/%s/core/forward"   // of 2019; nothing is published there, reports go over HTTPS
	DesireTopic = "$baidu/iot/edge/%s/core/backward"  // events for the device whose client id stands for %s
	ContentType = "application/x-www-form-urlencoded" // of a report, whatever the body looks like
)

// Headers of a report.
const (
	HeaderSerial   = "x-iot-edge-sn"       // serial number of the device's certificate, in decimal
	HeaderKey      = "x-iot-edge-key"      // Sealed.Key
	HeaderClientID = "x-iot-edge-clientid" // MQTT client id of the device
)

// Topic returns the topic of the device with that client id: pattern with the id for %s.
func Topic(pattern, clientID string) string { return strings.ReplaceAll(pattern, "%s", clientID) }

// Report is the content of a report: what the master says of the system, and how far updates are.
type Report struct {
	masterapi.Inspect
	// steps by trace, oldest first; each report has all steps of the trace so far
	OTA map[string][]Progress `json:"ota,omitempty"`
}

// Progress is one step of an update.
type Progress struct {
	Time  time.Time `json:"time"`
	Step  string    `json:"step"` // masterapi.Step…
	Trace string    `json:"trace"`
	Error string    `json:"error,omitempty"`
}
