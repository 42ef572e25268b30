//go:build e2e

package e2e_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Tutorial "Device connect to Baetyl with Hub service": every transport, each with real clients, and the clients that
// the hub must refuse.
func TestDeviceConnect(t *testing.T) {
	s := newSystem(t).withoutTimer().start()
	certs := s.path("var/db/baetyl/localhub-cert-only-for-test")
	ca, cert, key := certs+"/ca.pem", certs+"/client.pem", certs+"/client.key"
	foreign := foreignCA(t)

	user := func(url string) visit {
		v := visit{
			URL:      s.ports(url),
			Username: "test",
			Password: "hahaha",
			Topic:    "connect/test",
			Payload:  "This is a new message.",
		}
		if strings.HasPrefix(url, "mqtts") || strings.HasPrefix(url, "wss") {
			v.CA = ca
		}
		return v
	}
	mutual := func(url string) visit {
		v := user(url)
		v.Username, v.Password, v.Cert, v.Key, v.Topic = "two-way-tls", "", cert, key, "tls/test"
		return v
	}
	change := func(v visit, f func(*visit)) visit { f(&v); return v }

	accepted := map[string]visit{
		"tcp":                user("mqtt://127.0.0.1:1883"),
		"tcp at QoS 1":       change(user("mqtt://127.0.0.1:1883"), func(v *visit) { v.QoS = 1 }),
		"ssl one-way":        user("mqtts://localhost:8883"),
		"ssl by address":     user("mqtts://127.0.0.1:8883"),
		"ssl mutual":         mutual("mqtts://localhost:8883"),
		"ssl mutual at QoS1": change(mutual("mqtts://localhost:8883"), func(v *visit) { v.QoS = 1 }),
		"ws":                 user("ws://127.0.0.1:8080/mqtt"),
		"wss one-way":        user("wss://localhost:8884/mqtt"),
		"wss mutual":         mutual("wss://localhost:8884/mqtt"),
	}
	refused := map[string]visit{
		"wrong password":          change(user("mqtt://127.0.0.1:1883"), func(v *visit) { v.Password = "wrong" }),
		"no password":             change(user("mqtt://127.0.0.1:1883"), func(v *visit) { v.Password = "" }),
		"unknown user":            change(user("mqtt://127.0.0.1:1883"), func(v *visit) { v.Username = "nobody" }),
		"no user":                 change(user("mqtt://127.0.0.1:1883"), func(v *visit) { v.Username, v.Password = "", "" }),
		"wrong password over ws":  change(user("ws://127.0.0.1:8080/mqtt"), func(v *visit) { v.Password = "wrong" }),
		"wrong password over ssl": change(user("mqtts://localhost:8883"), func(v *visit) { v.Password = "wrong" }),
		"certificate user, none":  change(mutual("mqtts://localhost:8883"), func(v *visit) { v.Cert, v.Key = "", "" }),
		"certificate user over tcp": change(
			mutual("mqtt://127.0.0.1:1883"),
			func(v *visit) { v.CA, v.Cert, v.Key = "", "", "" },
		),
		"certificate of another CA": change(
			mutual("mqtts://localhost:8883"),
			func(v *visit) { v.Cert, v.Key = foreign+"/client.pem", foreign+"/client.key" },
		),
		"hub not of the expected CA": change(
			user("mqtts://localhost:8883"),
			func(v *visit) { v.CA = foreign + "/ca.pem" },
		),
		"topic that is not permitted": change(mutual("mqtts://localhost:8883"), func(v *visit) { v.Topic = "t" }),
	}
	for _, lib := range libraries() {
		for name, v := range accepted {
			t.Run(lib.name+"/"+name, func(t *testing.T) {
				if got := lib.do(t, v); got.Received != v.Payload {
					t.Fatalf("expected the message back, got %+v", got)
				}
			})
		}
		for name, v := range refused {
			t.Run(lib.name+"/refuses "+name, func(t *testing.T) {
				if got := lib.do(t, v); got.Error == "" || strings.Contains(got.Error, "no message within") {
					t.Fatalf("expected to be refused, got %+v", got)
				}
			})
		}
	}

	t.Run("mosquitto", func(t *testing.T) {
		for name, args := range map[string][]string{
			"tcp":         {"-p", s.port["1883"], "-u", "test", "-P", "hahaha", "-t", "m/tcp"},
			"ssl one-way": {"-p", s.port["8883"], "--cafile", ca, "-u", "test", "-P", "hahaha", "-t", "m/ssl"},
			"ssl mutual": {
				"-p", s.port["8883"], "--cafile", ca, "--cert", cert, "--key", key, "-u", "two-way-tls", "-t", "tls/m",
			},
		} {
			sub := s.subscribe("#")
			if out, err := s.mosquittoPub(append(args, "-m", name, "-q", "1")...); err != nil {
				t.Errorf("%s: %v\n%s", name, err, out)
				continue
			}
			sub.wait(args[len(args)-1], name)
		}
		out, err := s.mosquittoPub("-p", s.port["1883"], "-u", "test", "-P", "wrong", "-t", "m", "-m", "x")
		if err == nil || !strings.Contains(strings.ToLower(out), "bad user name or password") {
			t.Errorf("wrong password: %v, %q", err, out)
		}
		long := strings.Repeat("x", 200)
		out, err = s.mosquittoPub("-p", s.port["1883"], "-u", "test", "-P", "hahaha", "-i", long, "-t", "m", "-m", "x")
		if err == nil || !strings.Contains(strings.ToLower(out), "identifier rejected") {
			t.Errorf("client id longer than session.clientid.length: %v, %q", err, out)
		}
	})
}

// foreignCA makes a CA that the hub does not know, with its certificates, and returns their folder.
func foreignCA(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "certs")
	if out, err := exec.Command(filepath.Join(root, ".build/installer"), "certs", dir).CombinedOutput(); err != nil {
		t.Fatalf("make certificates: %v\n%s", err, out)
	}
	return dir
}
