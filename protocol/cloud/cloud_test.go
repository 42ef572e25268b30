package cloud_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/cloud"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

const md5sum = "1B2M2Y8AsgTpgAmY7PhCfg=="

var sample = cloud.OTA{Type: "APP", Trace: "t-1", Version: "v2", Volume: cloud.Volume{
	Name: "app",
	Path: "var/db/baetyl/app/v2",
	Meta: app.VolumeMeta{URL: "https://cloud/app.zip?sig=secret", MD5: md5sum, Version: "v2"},
}}

func TestEventsOfBothKinds(t *testing.T) {
	e, err := cloud.Parse([]byte(`{"event":"OTA","content":{"type":"APP","trace":"t","force":true,"volume":{` +
		`"name":"app","path":"var/db/baetyl/app/v2","meta":{"url":"https://cloud/app.zip","md5":"` + md5sum + `"}}}}`))
	require.NoError(t, err)
	require.True(t, e.OTA.Force)
	volume := `{"name":"app","path":"var/db/baetyl/app/v2","meta":{"url":"https://cloud/app.zip?sig=secret","md5":"` +
		md5sum + `","version":"v2"},"x":1}`
	at := time.Date(2019, 9, 24, 8, 0, 0, 0, time.UTC)
	for _, text := range []string{
		`{"time":"2019-09-24T08:00:00Z","event":"OTA","content":{"type":"APP","trace":"t-1","version":"v2","volume":` +
			volume + `}}`,
		`{"time":"2019-09-24T08:00:00Z","event":"UPDATE","content":{"trace":"t-1","version":"v2","config":` + volume +
			`},"more":[]}`,
	} {
		e, err := cloud.Parse([]byte(text))
		require.NoError(t, err)
		require.Equal(t, &cloud.Event{Time: at, OTA: sample}, e)
		again, err := json.Marshal(e)
		require.NoError(t, err)
		e2, err := cloud.Parse(again)
		require.NoError(t, err)
		require.Equal(t, e, e2)
	}
}

func TestWrongEvents(t *testing.T) {
	with := func(change func(*cloud.OTA)) string {
		o := sample
		change(&o)
		text, err := json.Marshal(cloud.Event{OTA: o})
		require.NoError(t, err)
		return string(text)
	}
	path := func(p string) string { return with(func(o *cloud.OTA) { o.Volume.Path = p }) }
	for text, want := range map[string]string{
		``:                             "event invalid: unexpected end of JSON input",
		`[]`:                           "event invalid: json: cannot unmarshal array",
		`{"event":"REBOOT\n"}`:         "event type (REBOOT) unexpected",
		`{"event":"OTA"}`:              "event content invalid: unexpected end",
		`{"event":"OTA","content":[]}`: "event content invalid: json: cannot unmarshal array",
		`{"event":"OTA","content":{}}`: `event content invalid: type: "" is not APP or MST`,
		with(func(o *cloud.OTA) { o.Trace = "" }):                          "trace: must not be empty",
		with(func(o *cloud.OTA) { o.Trace = "a\nb" }):                      "trace: use at most",
		with(func(o *cloud.OTA) { o.Version = strings.Repeat("v", 3000) }): "version: use at most",
		with(func(o *cloud.OTA) { o.Volume.Name = "../x" }):                "volume.name: name",
		with(func(o *cloud.OTA) { o.Volume.Meta.URL = "file:///etc/passwd" }): "volume.meta.url: is not a " +
			"URL of http or https",
		with(func(o *cloud.OTA) { o.Volume.Meta.URL = "https://" }): "volume.meta.url: is not a URL",
		with(func(o *cloud.OTA) { o.Volume.Meta.MD5 = "" }):         "volume.meta: needs the digest",
		with(func(o *cloud.OTA) { o.Volume.Meta.MD5 = "d41d8cd98f00b204e9800998ecf8427e" }): "volume.meta.md5: is not the " +
			"base64",
		with(func(o *cloud.OTA) { o.Volume.Meta.SHA256 = "abc" }): "volume.meta.sha256: is not 64",
		path(""):                                  "volume.path",
		path("/var/db/baetyl/app"):                "is not a folder below var/db/baetyl",
		path("var/db/baetyl"):                     "is not a folder below",
		path("var/db/baetyl/"):                    "is not a folder below",
		path("var/db/baetyl-evil/x"):              "is not a folder below",
		path("var/log/x"):                         "is not a folder below",
		path("var/db/baetyl/../../../etc"):        "start with a dot",
		path("var/db/baetyl/a//b"):                "no part may be empty",
		path("var/db/baetyl/a/./b"):               "start with a dot",
		path("var/db/baetyl/.agent/state"):        "start with a dot",
		path("var/db/baetyl/a\x00b"):              "is not a folder below",
		strings.Repeat(" ", cloud.MaxEvent) + "1": "event invalid: larger than 65536 bytes",
	} {
		_, err := cloud.Parse([]byte(text))
		require.ErrorContains(t, err, want, text)
		require.NotContains(t, err.Error(), "secret")
		require.NotContains(t, err.Error(), "\n")
	}
	for _, good := range []string{"var/db/baetyl/a", "var/db/baetyl/a/b c/", "./var/db/baetyl/ä"} {
		_, err := cloud.Parse([]byte(path(good)))
		require.NoError(t, err, good)
	}
}

func FuzzParse(f *testing.F) {
	text, _ := json.Marshal(cloud.Event{OTA: sample})
	f.Add(text)
	f.Add([]byte(`{"event":"UPDATE","content":{"config":{"path":"var/db/baetyl/../x"}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := cloud.Parse(data)
		if err != nil {
			return
		}
		require.NoError(t, e.OTA.Check())
		dir, err := e.OTA.Volume.Dir()
		require.NoError(t, err)
		require.NotContains(t, "/"+dir+"/", "/../")
		require.False(t, strings.HasPrefix(dir, "/"))
	})
}

// The keys are those of 2019: the inspect's, and ota beside them.
func TestReport(t *testing.T) {
	r := cloud.Report{Inspect: masterapi.Inspect{Software: masterapi.Software{ConfVersion: "v1"}}}
	text, err := json.Marshal(r)
	require.NoError(t, err)
	require.JSONEq(t, `{"time":"0001-01-01T00:00:00Z","software":{"conf_version":"v1"},"hardware":{}}`, string(text))
	r.OTA = map[string][]cloud.Progress{"t": {{Step: "RECEIVED", Trace: "t"}, {Step: "FAILURE", Trace: "t", Error: "no"}}}
	text, err = json.Marshal(r)
	require.NoError(t, err)
	require.JSONEq(t, `{"time":"0001-01-01T00:00:00Z","software":{"conf_version":"v1"},"hardware":{},"ota":{"t":[
		{"time":"0001-01-01T00:00:00Z","step":"RECEIVED","trace":"t"},{"time":"0001-01-01T00:00:00Z","step":"FAILURE","trace":"t","error":"no"}]}}`, string(text))
}

func TestTopic(t *testing.T) {
	require.Equal(t, "$baidu/iot/edge/%d/core/backward", cloud.Topic(cloud.DesireTopic, "%d"))
	require.Equal(t, "fixed", cloud.Topic("fixed", "x"))
}
