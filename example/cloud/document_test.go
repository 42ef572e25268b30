package main

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/requires"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/cloud"
)

// blocks returns the code blocks of docs/cloud-protocol.md by their language, in order.
func blocks(t *testing.T) map[string][]string {
	text, err := os.ReadFile("../../docs/cloud-protocol.md")
	require.NoError(t, err)
	out := map[string][]string{}
	for _, m := range regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		out[m[1]] = append(out[m[1]], m[2])
	}
	return out
}

// The messages in the document are messages.
func TestDocumentedMessages(t *testing.T) {
	b := blocks(t)
	for i, want := range []string{"a1bb6ad461cec2dec6c6fb9e55f8d29a06a718dc3a402c49285d3a1322874324", ""} {
		event, err := cloud.Parse([]byte(b["json"][i]))
		require.NoError(t, err)
		require.Equal(t, "APP", event.OTA.Type)
		require.Equal(t, want, event.OTA.Volume.Meta.SHA256)
	}
	var event, again any
	parsed, err := cloud.Parse([]byte(b["json"][0]))
	require.NoError(t, err)
	data, err := json.Marshal(parsed)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &again))
	require.NoError(t, json.Unmarshal([]byte(b["json"][0]), &event))
	require.Equal(t, event, again, "what this code writes is what the document says")

	var r cloud.Report
	d := json.NewDecoder(strings.NewReader(b["json"][2]))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&r))
	steps := r.OTA[parsed.OTA.Trace]
	_, ended := (&progress{Steps: steps}).final()
	require.True(t, ended)

	a, err := app.Parse("application.yml", []byte(b["yaml"][1]))
	require.NoError(t, err)
	require.True(t, hasAgent(a))
	v := a.Volume("agent-conf")
	require.NoError(t, cloud.Volume{Name: v.Name, Path: v.Path, Meta: v.Meta}.Check())
}

// The sealed report of the document opens, here and with the commands that it shows.
func TestDocumentedSeal(t *testing.T) {
	b := blocks(t)
	block, _ := pem.Decode([]byte(b["pem"][0]))
	cert, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	data, err := cloud.Sealed{
		Key:  strings.TrimSpace(b["key"][0]),
		Body: strings.TrimSpace(b["body"][0]),
	}.Open(
		cert.PublicKey.(*rsa.PublicKey),
	)
	require.NoError(t, err)
	require.Equal(t, strings.TrimSpace(b["content"][0]), string(data))

	requires.Command(t, "openssl", "apt-get install openssl")
	dir := t.TempDir()
	files := map[string]string{"device.pem": b["pem"][0], "key.b64": b["key"][0], "body.b64": b["body"][0]}
	for name, text := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	cmd := exec.Command("sh", "-ec", b["sh"][0])
	cmd.Dir = dir
	out, err := cmd.Output()
	require.NoError(t, err)
	require.Equal(t, string(data), string(out))
}
