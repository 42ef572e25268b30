package cert

import (
	"errors"
	"fmt"

	"github.com/baetyl/baetyl/utils/addr"
	"github.com/baetyl/baetyl/utils/log"
)

// CheckServer returns why the keys of a server contradict each other, or nil. It opens no file. The error starts with
// the name of a key.
func (c Config) CheckServer() error {
	switch {
	case c.Cert == "" && c.Key != "":
		return errors.New("cert: is empty, but key is set; cert and key must be set together")
	case c.Key == "" && c.Cert != "":
		return errors.New("key: is empty, but cert is set; cert and key must be set together")
	case c.CA != "" && c.Cert == "":
		return errors.New("ca: needs the keys cert and key beside it; set them or leave ca out")
	}
	return nil
}

// Announce logs what Exposed returns, once for each server.
func (c Config) Announce(host string, l log.Logger) {
	if warning, info := c.Exposed(host); warning != "" {
		l.Warnf("%s", warning)
	} else if info != "" {
		l.Infof("%s", info)
	}
}

// Exposed returns what is to be said of the section `server` when it is read, or nothing: as a warning, or, where the
// file says that plain tcp is meant, as an info. host is where it listens, as host:port.
func (c Config) Exposed(host string) (warning, info string) {
	switch {
	case c.Cert != "" && c.Insecure:
		return "server.insecure: has no effect, since server.cert turns TLS on; leave one of the two out", ""
	case c.Cert != "" || addr.Loopback(host):
		return "", ""
	case c.Insecure:
		return "", fmt.Sprintf("other hosts can reach %s, which is plain tcp, as server.insecure says", host)
	}
	const text = "server.address: other hosts can reach %s, which is plain tcp: who reads along has all that is sent; " +
		"set server.cert and server.key, listen on 127.0.0.1, or say with server.insecure: true that it is meant"
	return fmt.Sprintf(text, host), ""
}
