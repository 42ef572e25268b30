package mqtt

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/baetyl/baetyl/utils/addr"
	"github.com/baetyl/baetyl/utils/cert"
	"github.com/baetyl/baetyl/utils/conf"
)

// TopicInfo is a topic or a filter with its QoS, as configuration files give it.
type TopicInfo struct {
	Topic string `yaml:"topic" json:"topic" validate:"nonzero"`
	QOS   uint32 `yaml:"qos" json:"qos" validate:"oneof=0|1"`
}

// ClientInfo is the `hub` or `remote` section of a module ("Baetyl Configuration Interpretation"). Values that are
// zero in a literal mean the documented default, but for KeepAlive, where zero turns pings off.
type ClientInfo struct {
	Address  string      `yaml:"address" json:"address"` // tcp, mqtt, ssl, tls, mqtts, ws or wss://host[:port][/path]
	Username string      `yaml:"username" json:"username"`
	Password conf.Secret `yaml:"password" json:"password"`

	// PEM file of the authorities that the peer's certificate must come from
	CA       string `yaml:"ca" json:"ca"`
	Key      string `yaml:"key" json:"key"`           // PEM file of the client's private key
	Cert     string `yaml:"cert" json:"cert"`         // PEM file of the client's certificate
	Insecure bool   `yaml:"insecure" json:"insecure"` // do not verify the peer

	// may be empty with a clean session only
	ClientID string `yaml:"clientid" json:"clientid"`
	// the peer forgets the client when the connection ends
	CleanSession bool `yaml:"cleansession" json:"cleansession"`
	// of dial, of CONNACK, of SUBACK, of a write: each; for the last two it counts from the last progress
	Timeout time.Duration `yaml:"timeout" json:"timeout" default:"30s" validate:"min=1"`
	// longest delay between attempts to connect; they start at 500ms
	Interval time.Duration `yaml:"interval" json:"interval" default:"1m" validate:"min=1"`
	// time without traffic in one direction after which a ping is sent; rounded up to whole seconds, 0 is off
	KeepAlive time.Duration `yaml:"keepalive" json:"keepalive" default:"1m" validate:"min=0s, max=18h12m15s"`
	// messages in the queue of Publish, which blocks when it is full
	BufferSize int `yaml:"buffersize" json:"buffersize" default:"10" validate:"min=1"`
	// a refused subscription ends the connection; else it is logged
	ValidateSubs  bool        `yaml:"validatesubs" json:"validatesubs"`
	Subscriptions []TopicInfo `yaml:"subscriptions" json:"subscriptions"`

	// QoS 1 and 2 messages sent and not yet acknowledged; mosquitto takes no more than 20 at QoS 2
	MaxInflight int    `yaml:"maxinflight" json:"maxinflight" default:"20" validate:"min=1, max=65000"`
	Message     Limits `yaml:"message" json:"message"`
}

// ClientConfig is another name of ClientInfo.
type ClientConfig = ClientInfo

// Limits says what a client takes from its peer.
type Limits struct {
	Length Length `yaml:"length" json:"length"`
}

// Length is the largest packet, in bytes, header included. A longer one ends the connection.
type Length struct {
	Max conf.Size `yaml:"max" json:"max" default:"4m" validate:"min=16"`
}

// maxKeepAlive is the longest that a CONNECT can say.
const maxKeepAlive = 65535 * time.Second

// withDefaults replaces zeros by the documented defaults.
func (c ClientInfo) withDefaults() ClientInfo {
	d := conf.Default[ClientInfo]()
	if c.Timeout <= 0 {
		c.Timeout = d.Timeout
	}
	if c.Interval <= 0 {
		c.Interval = d.Interval
	}
	if c.BufferSize <= 0 {
		c.BufferSize = d.BufferSize
	}
	if c.MaxInflight <= 0 {
		c.MaxInflight = d.MaxInflight
	}
	if c.Message.Length.Max <= 0 {
		c.Message.Length.Max = d.Message.Length.Max
	}
	return c
}

// Check returns what is wrong with the section, as an error that starts with the name of the key, or nil. It opens
// nothing but the certificate files.
func (c ClientInfo) Check() error {
	if _, err := endpoint(c.Address); err != nil {
		return fmt.Errorf("address: %w", err)
	}
	if c.ClientID == "" && !c.CleanSession {
		return errors.New(
			"clientid: is empty; set one, or cleansession: true, since without an id the peer can't keep a session",
		)
	}
	if c.Password != "" && c.Username == "" {
		return errors.New("username: is empty, but password is set; MQTT needs both or the name alone")
	}
	if c.KeepAlive < 0 || c.KeepAlive > maxKeepAlive {
		return fmt.Errorf("keepalive: %s is not within 0s and %s", c.KeepAlive, maxKeepAlive)
	}
	if c.MaxInflight > 65000 {
		return fmt.Errorf("maxinflight: %d is more than 65000", c.MaxInflight)
	}
	for i, s := range c.Subscriptions {
		if err := CheckFilter(s.Topic); err != nil {
			return fmt.Errorf("subscriptions[%d].topic: %w", i, err)
		}
		if s.QOS > 2 {
			return fmt.Errorf("subscriptions[%d].qos: %d is not 0, 1 or 2", i, s.QOS)
		}
	}
	// Checked separately, so that the error names the key.
	if _, err := cert.Client(cert.Config{CA: c.CA}); err != nil {
		return fmt.Errorf("ca: %w", err)
	}
	if _, err := cert.Client(cert.Config{Cert: c.Cert, Key: c.Key}); err != nil {
		return fmt.Errorf("cert: %w", err)
	}
	return nil
}

// warning names a key that leaves the connection open to others, empty: none does. The section has been checked.
func (c ClientInfo) warning() string {
	e, err := endpoint(c.Address)
	switch {
	case err != nil:
	case e.Secure() && c.Insecure:
		return "insecure: true: the certificate of the peer is not verified, so that anybody can stand in its place"
	case !e.Secure() && !c.certificates().Empty():
		return fmt.Sprintf("ca, cert, key and insecure have no effect: %s:// has no TLS; "+
			"write an address with ssl:// or wss://, or leave them out", e.Scheme)
	}
	return ""
}

func (c ClientInfo) certificates() cert.Config {
	return cert.Config{CA: c.CA, Key: c.Key, Cert: c.Cert, Insecure: c.Insecure}
}

// endpoint is where a client connects to.
func endpoint(address string) (addr.Address, error) {
	a, err := addr.Dial(address, "1883", addr.MQTT...)
	if err != nil {
		return a, err
	}
	// A listener's address is often copied into the client's section; only some systems connect to 0.0.0.0.
	host, port, _ := net.SplitHostPort(a.Host)
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		local := "127.0.0.1"
		if ip.To4() == nil {
			local = "::1"
		}
		a.Host = net.JoinHostPort(local, port)
	}
	return a, nil
}
