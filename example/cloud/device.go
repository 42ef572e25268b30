package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/utils/cert"
	"github.com/baetyl/baetyl/utils/file"
)

// publisher is the name with which the cloud itself connects to its hub. It has a dot, so no device can have it.
const publisher = "baetyl.cloud"

// desireTopic is where a device gets its events. The agent's default begins with $, which baetyl-hub, as MQTT asks of
// a server, keeps for itself [MQTT-4.7.2-1].
const desireTopic = "edge/%s/desire"

// agentConfig is the service.yml of an agent: device, address of MQTT, address of HTTPS, topic of events.
const agentConfig = `# Configuration of baetyl-agent on the device %[1]s, made by "cloud device add".
# docs/agent.md explains every key.
remote:
  mqtt:
    address: %[2]q
    clientid: %[1]q
    username: %[1]q
    ca: etc/baetyl/ca.pem
    cert: etc/baetyl/client.pem
    key: etc/baetyl/client.key
  http:
    address: %[3]q
    ca: etc/baetyl/ca.pem
    cert: etc/baetyl/client.pem
    key: etc/baetyl/client.key
  desire:
    topic: %[4]q
logger:
  path: var/log/baetyl/service.log
  level: info
`

// addDevice makes a key with its certificate and writes what the agent needs into a new folder. The key is nowhere
// else.
func (s *store) addDevice(name, folder string) error {
	if err := app.CheckName(name); err != nil {
		return fmt.Errorf("device name: %w", err)
	}
	if file.Exists(s.device(name, "cert.pem")) {
		return fmt.Errorf("there is a device %s already", name)
	}
	ca, err := tls.LoadX509KeyPair(s.path("ca.pem"), s.path("ca.key"))
	if err != nil {
		return err
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048) // RSA, because reports are sealed with it
	if err != nil {
		return err
	}
	pair, err := cert.Issue(cert.ForClient(name), key, &ca)
	if err != nil {
		return err
	}
	if err := errors.Join(os.MkdirAll(filepath.Dir(folder), 0o755), os.Mkdir(folder, 0o755)); err != nil {
		return fmt.Errorf("make the folder of the agent's configuration: %w", err)
	}
	text := fmt.Sprintf(agentConfig, name, s.address("ssl", s.MQTT), s.address("https", s.HTTPS), desireTopic)
	err = errors.Join(
		cert.WriteCertificate(filepath.Join(folder, "ca.pem"), ca.Leaf),
		cert.Write(filepath.Join(folder, "client"), pair),
		file.WriteAtomic(filepath.Join(folder, "service.yml"), []byte(text), 0o644),
		os.MkdirAll(s.device(name, "packages"), 0o700), os.MkdirAll(s.device(name, "pushes"), 0o700),
	)
	if err != nil {
		return err
	}
	return cert.WriteCertificate(s.device(name, "cert.pem"), pair.Leaf)
}

// removeDevice locks a device out: a certificate counts as long as it lies here.
func (s *store) removeDevice(name string) error {
	if _, err := s.certificate(name); err != nil {
		return err
	}
	return errors.Join(os.Remove(s.device(name, "cert.pem")), os.RemoveAll(s.device(name)))
}

// certificate returns that of a device, and an error for what is none.
func (s *store) certificate(name string) (*x509.Certificate, error) {
	if err := app.CheckName(name); err != nil {
		return nil, fmt.Errorf("device name: %w", err)
	}
	c, err := readCertificate(s.device(name, "cert.pem"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("there is no device %s", name)
	}
	return c, err
}

func readCertificate(path string) (*x509.Certificate, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("read %s: it is not in PEM form", path)
	}
	return x509.ParseCertificate(block.Bytes)
}

// devices returns the names of all devices.
func (s *store) devices() ([]string, error) {
	entries, err := os.ReadDir(s.path("devices"))
	var out []string
	for _, e := range entries {
		if file.Exists(s.device(e.Name(), "cert.pem")) {
			out = append(out, e.Name())
		}
	}
	return out, err
}
