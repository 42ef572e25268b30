package agent

import (
	"crypto/rsa"
	"crypto/tls"
	"errors"
	"fmt"

	"github.com/baetyl/baetyl/protocol/cloud"
)

// identity is what the device proves to the cloud who it is with.
type identity struct {
	serial string
	key    *rsa.PrivateKey
}

// readIdentity reads the certificate and the key that the device uses for MQTT too.
func readIdentity(certFile, keyFile string) (identity, error) {
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return identity{}, fmt.Errorf("remote.mqtt.cert: %w", err)
	}
	key, ok := pair.PrivateKey.(*rsa.PrivateKey)
	if !ok {
		return identity{}, errors.New("remote.mqtt.key: is not an RSA key, and reports are sealed with one")
	}
	return identity{cloud.Serial(pair.Leaf), key}, nil
}
