// Package addr parses the addresses of configuration files. The schemes are defined here and nowhere else.
//
//	tcp://host:port   ssl://host:port   ws://host:port/path   unix://path   https://host:port   host:port
//
// The form without a scheme is for CheckListen only. The package promises that the Host of an accepted address can be
// given to net.Dial or net.Listen (unix: Path instead), that parsing String gives the same address again, and that no
// error shows a password.
package addr

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Address is a parsed address.
type Address struct {
	Scheme string // lower case
	Host   string // host:port, an IPv6 address in brackets; empty for unix
	Path   string // unix: of the socket; else what follows the port, with its query: empty, or it begins with /
}

// scheme is what an address needs to know of its scheme.
type scheme struct {
	port   string // default for clients; empty: there is none
	secure bool   // TLS
	web    bool   // websocket
}

var known = map[string]scheme{
	"unix":  {},
	"tcp":   {},
	"mqtt":  {port: "1883"},
	"ssl":   {port: "8883", secure: true},
	"tls":   {port: "8883", secure: true},
	"mqtts": {port: "8883", secure: true},
	"ws":    {port: "80", web: true},
	"wss":   {port: "443", secure: true, web: true},
	"http":  {port: "80"},
	"https": {port: "443", secure: true},
}

// MQTT lists the schemes of MQTT connections, of clients and of the hub.
var MQTT = []string{"tcp", "mqtt", "ssl", "tls", "mqtts", "ws", "wss"}

// Server lists the schemes at which HTTP servers on this device listen, the master's API among them.
var Server = []string{"unix", "tcp", "https"}

// Secure tells whether the scheme means TLS.
func (a Address) Secure() bool { return known[a.Scheme].secure }

// Web tells whether the scheme means a websocket.
func (a Address) Web() bool { return known[a.Scheme].web }

// Local tells whether what listens there can be reached from this host alone.
func (a Address) Local() bool { return a.Scheme == "unix" || Loopback(a.Host) }

// Loopback tells whether what listens at host:port can be reached from this host alone: host is localhost, or an IP
// address of the loopback interface. No name is looked up: any other one, and an empty host, may mean more.
func Loopback(hostPort string) bool {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		return false
	}
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// String returns the address as it may stand in a file.
func (a Address) String() string {
	if a.Scheme == "unix" {
		return "unix://" + a.Path
	}
	host := a.Host
	if strings.HasPrefix(host, "[") {
		host = strings.Replace(host, "%", "%25", 1) // RFC 6874
	}
	return a.Scheme + "://" + host + a.Path
}

// Dial parses the address that a client connects to. The host is required. The port may be left out if the scheme has a
// default; for tcp the default is tcpPort, none if that is empty. schemes are those that are allowed, in lower case, at
// least one. A tcp address may have a path, as in earlier versions.
func Dial(text, tcpPort string, schemes ...string) (Address, error) {
	return parse(text, tcpPort, false, schemes)
}

// Listen parses the address that a server listens at. The port is required; with port 0 the system chooses one. An
// empty host means all interfaces. schemes are as for Dial.
func Listen(text string, schemes ...string) (Address, error) {
	return parse(text, "", true, schemes)
}

// CheckListen returns why text is not host:port to listen at, or nil. It must have no scheme; the host may be empty.
func CheckListen(text string) error {
	if strings.Contains(text, "://") {
		return fmt.Errorf("%s has a scheme; write host:port", redact(text))
	}
	_, err := hostPort(text, "", true)
	if err != nil {
		return fmt.Errorf("%s: %w; write host:port", redact(text), err)
	}
	return nil
}

func parse(text, tcpPort string, listen bool, schemes []string) (Address, error) {
	if text == "" {
		return Address{}, fmt.Errorf("is empty; write %s", example(schemes[0], listen))
	}
	name, rest, ok := strings.Cut(text, "://")
	if !ok {
		return Address{}, fmt.Errorf("%s has no scheme; write %s before it", redact(text), choice(schemes))
	}
	a := Address{Scheme: strings.ToLower(name)}
	if !slices.Contains(schemes, a.Scheme) {
		if len(schemes) == 1 {
			return Address{}, fmt.Errorf("%s does not begin with %s", redact(text), list(schemes))
		}
		return Address{}, fmt.Errorf("%s has none of the schemes %s", redact(text), list(schemes))
	}
	if i := strings.IndexFunc(rest, unicode.IsControl); i >= 0 {
		return Address{}, fmt.Errorf("%s: there is a control character in it", redact(text))
	}
	if a.Scheme == "unix" {
		if rest == "" {
			return Address{}, fmt.Errorf("%s: path of the socket is missing; write unix:///path", redact(text))
		}
		a.Path = rest
		return a, nil
	}
	host := rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		host, a.Path = rest[:i], rest[i:]
	}
	if strings.Contains(host, "@") {
		remedy := "use the keys username and password"
		if listen {
			remedy = "leave it out"
		}
		return Address{}, fmt.Errorf("%s has a user in it; %s", redact(text), remedy)
	}
	port := known[a.Scheme].port
	if a.Scheme == "tcp" {
		port = tcpPort
	}
	if listen {
		port = ""
	}
	var err error
	if a.Host, err = hostPort(host, port, listen); err == nil {
		a.Path, err = checkPath(a.Path)
	}
	if err != nil {
		return Address{}, fmt.Errorf("%s: %w; write %s", redact(text), err, example(a.Scheme, listen))
	}
	return a, nil
}

// hostPort checks text, adds port where it has none, and returns it as net.JoinHostPort would.
func hostPort(text, port string, listen bool) (string, error) {
	host, own := text, ""
	if strings.HasPrefix(text, "[") {
		end := strings.IndexByte(text, ']')
		if end < 0 {
			return "", errors.New("there is a [ without ]")
		}
		host, own = text[1:end], text[end+1:]
		if zone := strings.Index(host, "%25"); zone >= 0 {
			host = host[:zone] + "%" + host[zone+3:]
		}
		if ip, err := netip.ParseAddr(host); err != nil || !ip.Is6() || strings.ContainsFunc(ip.Zone(), notInZone) {
			return "", fmt.Errorf("%q is not an IPv6 address", host)
		}
	} else {
		if i := strings.IndexByte(text, ':'); i >= 0 {
			host, own = text[:i], text[i:]
		}
		switch {
		case strings.Contains(own[min(1, len(own)):], ":"):
			return "", errors.New("there are several colons; put an IPv6 address in brackets")
		case strings.ContainsFunc(host, notInHost):
			return "", fmt.Errorf("%q is not a name of a host", host)
		case host == "" && !listen:
			return "", errors.New("the host is missing")
		}
	}
	if own != "" && own[0] != ':' {
		return "", fmt.Errorf("%q stands after the host", own)
	}
	if own = strings.TrimPrefix(own, ":"); own == "" {
		own = port
	}
	if own == "" {
		return "", errors.New("the port is missing")
	}
	n, err := strconv.ParseUint(own, 10, 16)
	least := uint64(1)
	if listen {
		least = 0
	}
	if err != nil || n < least {
		return "", fmt.Errorf("port %q is not a number between %d and 65535", own, least)
	}
	return net.JoinHostPort(host, own), nil
}

func checkPath(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	if strings.Contains(path, "#") {
		return "", errors.New("# is not allowed in it")
	}
	if path[0] == '?' {
		path = "/" + path
	}
	if _, err := url.ParseRequestURI(path); err != nil || strings.ContainsFunc(path, unicode.IsSpace) {
		return "", fmt.Errorf("%q is not a path", path)
	}
	return path, nil
}

func notInHost(r rune) bool {
	return r != '-' && r != '.' && r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r)
}

func notInZone(r rune) bool { return r > unicode.MaxASCII || notInHost(r) }

func example(scheme string, listen bool) string {
	switch {
	case scheme == "unix":
		return "unix:///path"
	case listen || scheme == "tcp":
		return scheme + "://host:port"
	}
	return scheme + "://host[:port]"
}

func choice(schemes []string) string {
	if len(schemes) == 1 {
		return list(schemes)
	}
	return "one of " + list(schemes)
}

func list(schemes []string) string { return strings.Join(schemes, "://, ") + "://" }

// redact quotes an address for an error, without what may be a password.
func redact(text string) string {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		scheme, rest = "", text
	}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		rest = "xxxxx@" + rest[i+1:]
	}
	if ok {
		rest = scheme + "://" + rest
	}
	return strconv.Quote(rest)
}
