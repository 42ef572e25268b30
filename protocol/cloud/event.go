package cloud

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// Kinds of event.
const (
	EventOTA    = "OTA"
	EventUpdate = "UPDATE" // of before 0.1.4: an update of the application whose volume stands under the key config
)

// MaxEvent is the largest event, in bytes; real ones have some hundred.
const MaxEvent = 64 << 10

// maxText is the longest trace, version or URL, in bytes.
const maxText = 2048

// Event is what the cloud publishes to the desire topic. Both kinds have the same content here; JSON is written as
// EventOTA.
type Event struct {
	Time time.Time
	OTA  OTA
}

// OTA asks for an update.
type OTA struct {
	Type    string `json:"type"`    // masterapi.UpdateApp or UpdateMaster
	Trace   string `json:"trace"`   // names the update; the same one again is the same update
	Version string `json:"version"` // that the application then has, or the binary
	// an application is taken, too, that leaves the cloud no way to send another one; newer than the documents
	Force  bool   `json:"force,omitempty"`
	Volume Volume `json:"volume"` // the package with application.yml [and metadata.yml], or with bin/baetyl
}

// Volume is a folder of the device and the package that fills it. The path holds the version, so that a new one does
// not touch the old one: var/db/baetyl/localhub-conf/v2.
type Volume struct {
	Name string         `yaml:"name" json:"name"`
	Path string         `yaml:"path" json:"path"` // relative to the master's working directory, below Root
	Meta app.VolumeMeta `yaml:"meta,omitempty" json:"meta"`
}

// wire is the JSON of an event; keys that it does not have are ignored.
type wire struct {
	Time    time.Time       `json:"time"`
	Event   string          `json:"event"`
	Content json.RawMessage `json:"content"`
}

// Parse reads and checks an event. An error names the key; it repeats no URL, since those may carry a secret.
func Parse(data []byte) (*Event, error) {
	if len(data) > MaxEvent {
		return nil, fmt.Errorf("event invalid: larger than %d bytes", MaxEvent)
	}
	var w wire
	if err := json.Unmarshal(data, &w); err != nil {
		return nil, fmt.Errorf("event invalid: %w", err)
	}
	e := &Event{Time: w.Time}
	var err error
	switch w.Event {
	case EventOTA:
		err = json.Unmarshal(w.Content, &e.OTA)
	case EventUpdate:
		var old struct {
			Trace   string `json:"trace"`
			Version string `json:"version"`
			Config  Volume `json:"config"`
		}
		err = json.Unmarshal(w.Content, &old)
		e.OTA = OTA{Type: masterapi.UpdateApp, Trace: old.Trace, Version: old.Version, Volume: old.Config}
	default:
		return nil, fmt.Errorf("event type (%.64s) unexpected", printable(w.Event))
	}
	if err == nil {
		err = e.OTA.Check()
	}
	if err != nil {
		return nil, fmt.Errorf("event content invalid: %w", err)
	}
	return e, nil
}

// MarshalJSON writes the event as Parse reads it.
func (e Event) MarshalJSON() ([]byte, error) {
	content, err := json.Marshal(e.OTA)
	if err != nil {
		return nil, err
	}
	return json.Marshal(wire{Time: e.Time, Event: EventOTA, Content: content})
}

// Check tells what is wrong with the request.
func (o OTA) Check() error {
	switch o.Type {
	case masterapi.UpdateApp, masterapi.UpdateMaster:
	default:
		return fmt.Errorf("type: %.64q is not %s or %s", o.Type, masterapi.UpdateApp, masterapi.UpdateMaster)
	}
	if o.Trace == "" {
		return errors.New("trace: must not be empty")
	}
	for _, k := range []struct{ key, value string }{{"trace", o.Trace}, {"version", o.Version}} {
		if len(k.value) > maxText || printable(k.value) != k.value {
			return fmt.Errorf("%s: use at most %d bytes of printable text", k.key, maxText)
		}
	}
	if err := o.Volume.Check(); err != nil {
		return fmt.Errorf("volume.%w", err)
	}
	return nil
}

// Check tells what is wrong with a volume that is to be downloaded. The error starts with the key.
func (v Volume) Check() error {
	if err := app.CheckName(v.Name); err != nil {
		return fmt.Errorf("name: %w", err)
	}
	if _, err := v.Dir(); err != nil {
		return fmt.Errorf("path: %w", err)
	}
	u, err := url.Parse(v.Meta.URL)
	switch {
	case len(v.Meta.URL) > maxText:
		return fmt.Errorf("meta.url: longer than %d bytes", maxText)
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return errors.New("meta.url: is not a URL of http or https")
	}
	if v.Meta.MD5 == "" && v.Meta.SHA256 == "" {
		return errors.New("meta: needs the digest of the package, md5 or sha256")
	}
	if sum, err := base64.StdEncoding.DecodeString(v.Meta.MD5); v.Meta.MD5 != "" && (err != nil || len(sum) != 16) {
		return errors.New("meta.md5: is not the base64 of 16 bytes")
	}
	if sum, err := hex.DecodeString(v.Meta.SHA256); v.Meta.SHA256 != "" && (err != nil || len(sum) != 32) {
		return errors.New("meta.sha256: is not 64 hexadecimal digits")
	}
	return nil
}

// Dir returns the path relative to Root. A path that is absolute, not below Root, or has a '..', an empty or a hidden
// part is an error: hidden ones are the agent's own.
func (v Volume) Dir() (string, error) {
	rest, ok := strings.CutPrefix(strings.TrimSuffix(strings.TrimPrefix(v.Path, "./"), "/"), Root+"/")
	if !ok || len(v.Path) > maxText || printable(v.Path) != v.Path {
		return "", fmt.Errorf("%.128q is not a folder below %s", v.Path, Root)
	}
	for _, part := range strings.Split(rest, "/") {
		if part == "" || strings.HasPrefix(part, ".") || len(part) > 255 {
			return "", fmt.Errorf("%.128q: no part may be empty, longer than 255 bytes or start with a dot", v.Path)
		}
	}
	return rest, nil
}

// printable is s without what does not belong into a line of a log.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
}
