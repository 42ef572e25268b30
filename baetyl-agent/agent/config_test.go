package agent

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-agent/agenttest"
	"github.com/baetyl/baetyl/internal/conftest"
	"github.com/baetyl/baetyl/protocol/mqtt"
	"github.com/baetyl/baetyl/utils/conf"
)

func load(text string) (c config, err error) {
	return c, conf.Parse("service.yml", []byte(text), &c, conf.AllowKeys("hub", "logger"))
}

func TestConfig(t *testing.T) {
	ca := agenttest.NewAuthority(t)
	dev := ca.Issue("dev1", big.NewInt(7))
	files := fmt.Sprintf("ca: %s, cert: %s, key: %s", ca.CA, dev.Cert, dev.Key)
	// As the documents have it: everything that is not required is left out.
	c, err := load(fmt.Sprintf(`
remote:
  mqtt: {address: 'ssl://x.mqtt.iot.gz.baidubce.com:1884', clientid: dev1, username: u, %s}
  http: {ca: %s}
`, files, ca.CA))
	require.NoError(t, err)
	r := c.Remote
	require.Equal(t, "https://iotedge.gz.baidubce.com", r.HTTP.Address)
	require.Equal(
		t,
		[]time.Duration{30 * time.Second, time.Minute, time.Minute, 5 * time.Minute, 20 * time.Second, 5 * time.Minute},
		[]time.Duration{r.MQTT.Timeout, r.MQTT.Interval, r.MQTT.KeepAlive, r.HTTP.Timeout, r.Report.Interval, c.OTA.Timeout},
	)
	require.Equal(t, "/v3/edge/info", r.Report.URL)
	require.Equal(t, "$baidu/iot/edge/%s/core/forward", r.Report.Topic)
	require.Equal(t, []mqtt.TopicInfo{{Topic: "$baidu/iot/edge/dev1/core/backward", QOS: 1}}, r.MQTT.Subscriptions)
	require.Equal(t, "var/db/baetyl/volumes/ota.log", c.OTA.Logger.Path)
	require.EqualValues(t, 1<<30, c.OTA.Limits.Package)

	// The documents: the address of http needs no configuration. Its CA is that of MQTT then.
	for address, want := range map[string]string{
		"ssl://cloud.example:1884": "https://cloud.example", "wss://10.0.0.1/mqtt": "https://10.0.0.1",
		"ssl://[fe80::1]:8883": "https://[fe80::1]", "tls://x.mqtt.iot.bj.baidubce.com:1884": "https://iotedge.bj.baidubce.com",
	} {
		for _, http := range []string{"", "\n  http: {timeout: 30s}"} {
			c, err := load(fmt.Sprintf("remote:\n  mqtt: {address: '%s', clientid: d, %s}%s\n", address, files, http))
			require.NoError(t, err, address)
			require.Equal(t, want, c.Remote.HTTP.Address)
			require.Equal(t, ca.CA, c.Remote.HTTP.CA)
		}
	}

	const bj = "address: 'ssl://a.bj.baidubce.com:1884', clientid: dev1, "
	for text, want := range map[string]string{
		"{}": "remote.mqtt.address: remote mqtt address missing",
		"remote: {mqtt: {address: 'tcp://h:1883', clientid: d, " + files + "}}":        "remote.mqtt.address: tcp:// is not encrypted",
		"remote: {mqtt: {address: 'ssl://h:1883', " + files + "}}":                     "remote.mqtt.clientid: must not be empty",
		"remote: {mqtt: {address: 'ssl://h:1883', clientid: a/b, " + files + "}}":      "remote.mqtt.clientid: \"a/b\" has one of + # /",
		"remote: {mqtt: {address: 'ssl://h:1883', clientid: d, ca: " + ca.CA + "}}":    "remote.mqtt.cert: must not be empty",
		"remote: {mqtt: {" + bj + "cert: " + dev.Cert + ", key: " + dev.Key + "}}":     "remote.http.ca: remote http ca missing, must enable ssl",
		"remote: {mqtt: {" + bj + files + "}, http: {address: 'http://h', ca: x}}":     "remote.http.address: \"http://h\" does not begin with https://",
		"remote: {mqtt: {" + bj + files + "}, http: {ca: x}, report: {url: v3}}":       "remote.report.url: \"v3\" does not begin with /",
		"remote: {mqtt: {" + bj + files + "}, http: {ca: x}, report: {interval: 0s}}":  "remote.report.interval: must be more than 0s; found 0s",
		"remote: {mqtt: {" + bj + files + "}, http: {ca: x}, desire: {topic: 'a/#b'}}": "remote.desire.topic: ",
		"remote: {mqtt: {" + bj + "cert: /no, key: /no}, http: {ca: x}}":               "remote.mqtt.cert: load cert /no",
		"remote: {mqtt: {" + bj + files + ", cleansesion: true}}":                      `remote.mqtt.cleansesion: unknown key; did you mean "cleansession"?`,
		"remote: {}\nota: {timeout: 0s}":                                               "ota.timeout: must be more than 0s; found 0s",
	} {
		_, err := load(text)
		require.ErrorContains(t, err, "service.yml: "+want, text)
	}
}

func TestWrongFiles(t *testing.T) {
	conftest.Run(t, "testdata/wrong.txt", func(text []byte) error {
		_, err := load(string(text))
		return err
	})
}

func TestIdentity(t *testing.T) {
	ca := agenttest.NewAuthority(t)
	n, _ := new(big.Int).SetString(serial, 10)
	dev := ca.Issue("dev1", n)
	who, err := readIdentity(dev.Cert, dev.Key)
	require.NoError(t, err)
	require.Equal(t, serial, who.serial)

	_, err = readIdentity(dev.Cert, ca.Issue("dev2", n).Key)
	require.ErrorContains(t, err, "remote.mqtt.cert: ")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: n, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	_, err = readIdentity(agenttest.WritePEM(t, "CERTIFICATE", der), agenttest.WritePEM(t, "PRIVATE KEY", raw))
	require.ErrorContains(t, err, "remote.mqtt.key: is not an RSA key")
}
