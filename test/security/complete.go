//go:build linux

package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/cert"
)

const applicationFile = "var/db/baetyl/application.yml"

// What the example has not: the agent, whose cloud is away, and the bridge, whose other side is.
const (
	moreServices = `  - name: agent
    image: PREFIXbaetyl-agent
    replica: 1
    mounts:
      PACKAGE
      - {name: agent-conf, path: etc/baetyl, readonly: true}
      - {name: agent-cert, path: var/db/baetyl/cert, readonly: true}
      - {name: agent-volumes, path: var/db/baetyl/volumes}
  - name: remote
    image: PREFIXbaetyl-remote-mqtt
    replica: 1
    mounts:
      PACKAGE
      - {name: remote-conf, path: etc/baetyl, readonly: true}
      - {name: remote-data, path: var/db/baetyl/parked}
`
	moreVolumes = `  - {name: agent-conf, path: var/db/baetyl/agent-conf}
  - {name: agent-cert, path: var/db/baetyl/agent-cert}
  - {name: agent-volumes, path: var/db/baetyl}
  - {name: remote-conf, path: var/db/baetyl/remote-conf}
  - {name: remote-data, path: var/db/baetyl/remote-data}
`
	agentConf = `remote:
  mqtt: {address: 'ssl://127.0.0.1:1', clientid: dev1, ca: var/db/baetyl/cert/ca.pem,
    cert: var/db/baetyl/cert/client.pem, key: var/db/baetyl/cert/client.key}
  http: {address: 'https://127.0.0.1:1', ca: var/db/baetyl/cert/ca.pem}
`
	remoteConf = `hub: {address: 'tcp://HUB:1883', username: test, password: hahaha}
remotes: [{name: far, address: 'tcp://127.0.0.1:1'}]
rules: [{remote: {name: far}, hub: {subscriptions: [{topic: far/#, qos: 1}]}}]
`
)

// complete adds agent and bridge to the application in dir. images stands before the names of images.
func complete(dir, mode, images string) error {
	file := filepath.Join(dir, applicationFile)
	data, err := os.ReadFile(file)
	text := string(data)
	if err != nil || strings.Contains(text, "- name: agent\n") {
		return err
	}
	services, volumes, hub := moreServices, moreVolumes, "127.0.0.1"
	if mode == masterapi.ModeNative {
		for _, module := range []string{"baetyl-agent", "baetyl-remote-mqtt"} {
			mount := "- {name: " + module + "-bin, path: lib/baetyl/" + module + ", readonly: true}"
			services = strings.Replace(services, "PACKAGE", mount, 1)
			volumes += "  - {name: " + module + "-bin, path: var/db/baetyl/" + module + "}\n"
		}
	} else {
		services, hub = strings.ReplaceAll(services, "      PACKAGE\n", ""), "localhub"
	}
	services = strings.ReplaceAll(services, "PREFIX", images)
	text = strings.Replace(text, "\nvolumes:\n", "\n"+services+"volumes:\n"+volumes, 1)
	files := map[string]string{
		"agent-conf/service.yml":  agentConf,
		"remote-conf/service.yml": strings.ReplaceAll(remoteConf, "HUB", hub),
	}
	if err := device(files); err != nil {
		return err
	}
	for name, content := range files {
		p := filepath.Join(dir, "var/db/baetyl", name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile(file, []byte(text), 0o644)
}

// device adds the certificate of a device. Its key is RSA, since reports are sealed with it.
func device(files map[string]string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	issued, err := cert.Issue(cert.ForClient("dev1"), key, nil)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	files["agent-cert/client.pem"] = encode("CERTIFICATE", issued.Certificate[0])
	files["agent-cert/ca.pem"] = files["agent-cert/client.pem"]
	files["agent-cert/client.key"] = encode("PRIVATE KEY", private)
	return nil
}

// moduleOf is the module of an image.
func moduleOf(image string) string {
	name, _, _ := strings.Cut(path.Base(image), ":")
	return name
}
