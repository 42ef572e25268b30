package addr_test

import (
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/addr"
)

var all = append([]string{"unix", "http", "https"}, addr.MQTT...)

func TestDial(t *testing.T) {
	for _, c := range []struct {
		in   string
		want addr.Address
	}{
		{"unix:///var/run/b.sock", addr.Address{"unix", "", "/var/run/b.sock"}},
		{"unix://var/run/b.sock", addr.Address{"unix", "", "var/run/b.sock"}},
		{"unix://a b", addr.Address{"unix", "", "a b"}},
		{"tcp://127.0.0.1:50050", addr.Address{"tcp", "127.0.0.1:50050", ""}},
		{"TCP://h", addr.Address{"tcp", "h:1883", ""}},
		{"tcp://h:", addr.Address{"tcp", "h:1883", ""}},
		{"mqtt://h/ignored", addr.Address{"mqtt", "h:1883", "/ignored"}},
		{"ssl://h", addr.Address{"ssl", "h:8883", ""}},
		{"ws://h?a=b", addr.Address{"ws", "h:80", "/?a=b"}},
		{"wss://h:8443/mqtt?x=1&y=%20", addr.Address{"wss", "h:8443", "/mqtt?x=1&y=%20"}},
		{"https://my_host.local", addr.Address{"https", "my_host.local:443", ""}},
		{"http://bücher.example", addr.Address{"http", "bücher.example:80", ""}},
		{"tcp://[::1]:1", addr.Address{"tcp", "[::1]:1", ""}},
		{"tcp://[::ffff:1.2.3.4]", addr.Address{"tcp", "[::ffff:1.2.3.4]:1883", ""}},
		{"tcp://[fe80::1%25eth0]:1", addr.Address{"tcp", "[fe80::1%eth0]:1", ""}},
		{"tcp://[fe80::1%eth0]:1", addr.Address{"tcp", "[fe80::1%eth0]:1", ""}},
	} {
		got, err := addr.Dial(c.in, "1883", all...)
		require.NoError(t, err, c.in)
		require.Equal(t, c.want, got)
	}
	for in, want := range map[string]string{
		"":                       `is empty; write unix:///path`,
		"h:1883":                 `"h:1883" has no scheme; write one of unix://, http://, https://, tcp://, mqtt://, ssl://, tls://, mqtts://, ws://, wss:// before it`,
		"u:secret@h:1883":        `"xxxxx@h:1883" has no scheme`,
		"ftp://u:secret@h":       `"ftp://xxxxx@h" has none of the schemes unix://, http://`,
		"tcp://u:secret@h:1":     `"tcp://xxxxx@h:1" has a user in it; use the keys username and password`,
		"tcp://":                 `"tcp://": the host is missing; write tcp://host:port`,
		"ssl://:1":               `"ssl://:1": the host is missing; write ssl://host[:port]`,
		"unix://":                `"unix://": path of the socket is missing`,
		"unix://a\x00b":          "control character",
		"tcp://a:b:c":            `"tcp://a:b:c": there are several colons; put an IPv6 address in brackets`,
		"tcp://::1:1":            "put an IPv6 address in brackets",
		"tcp://[::1":             "there is a [ without ]",
		"ws://]":                 `"]" is not a name of a host`,
		"tcp://[1.2.3.4]:1":      `"1.2.3.4" is not an IPv6 address`,
		"tcp://[::1]x:1":         `"x:1" stands after the host`,
		"tcp://[fe80::1%]:1":     "is not an IPv6 address",
		"tcp://[fe80::1%a/b]:1":  "there is a [ without ]",
		"tcp://h:0":              `port "0" is not a number between 1 and 65535`,
		"tcp://h:65536":          `port "65536" is not a number between 1 and 65535`,
		"tcp://h:-1":             `port "-1" is not`,
		"tcp://h:+1":             `port "+1" is not`,
		"tcp://h:1 ":             `port "1 " is not`,
		"tcp:// h:1":             `" h" is not a name of a host`,
		"tcp://h%41:1":           "is not a name of a host",
		"tcp://h\n:1":            "control character",
		"ws://h/%zz":             `"/%zz" is not a path`,
		"ws://h/a b":             `"/a b" is not a path`,
		"ws://h/#x":              "# is not allowed",
		"tcp//a:1":               "has no scheme",
		"://a:1":                 "has none of the schemes",
		"tcp://\xff:1":           "is not a name of a host",
		"https://host:443:8443/": "several colons",
	} {
		_, err := addr.Dial(in, "1883", all...)
		require.ErrorContains(t, err, want, in)
		require.NotContains(t, err.Error(), "secret")
	}
	_, err := addr.Dial("tcp://h", "", "tcp")
	require.EqualError(t, err, `"tcp://h": the port is missing; write tcp://host:port`)
}

func TestListen(t *testing.T) {
	for in, want := range map[string]string{"tcp://:1883": ":1883", "ws://:0/mqtt": ":0", "tcp://[::]:1": "[::]:1",
		"https://h:1": "h:1"} {
		a, err := addr.Listen(in, all...)
		require.NoError(t, err)
		require.Equal(t, want, a.Host)
	}
	for _, in := range []string{"ws://h", "tcp://h:", "https://h", "tcp://:99999", "1883"} {
		_, err := addr.Listen(in, all...)
		require.Error(t, err, in)
	}
	require.NoError(t, addr.CheckListen("127.0.0.1:0"))
	require.NoError(t, addr.CheckListen(":9883"))
	require.EqualError(t, addr.CheckListen("9883"), `"9883": the port is missing; write host:port`)
	require.EqualError(t, addr.CheckListen("http://h:1"), `"http://h:1" has a scheme; write host:port`)
	require.Error(t, addr.CheckListen("h:1/metrics"))
}

func TestLoopback(t *testing.T) {
	for text, want := range map[string]bool{
		"tcp://127.0.0.1:1": true, "tcp://127.9.8.7:1": true, "ssl://[::1]:1": true, "ws://[::1%25lo]:1/x": true,
		"tcp://[::ffff:127.0.0.1]:1": true, "tcp://LocalHost:1": true, "tcp://localhost.:1": true, "unix:///a": true,
		"tcp://:1": false, "tcp://0.0.0.0:1": false, "tcp://[::]:1": false, "tcp://192.168.1.2:1": false,
		"tcp://[::ffff:10.0.0.1]:1": false, "tcp://localhost.example.com:1": false, "tcp://mylocalhost:1": false,
		"tcp://127.0.0.1.example.com:1": false, "tcp://[fe80::1%25eth0]:1": false, "wss://device:1": false,
	} {
		a, err := addr.Listen(text, all...)
		require.NoError(t, err)
		require.Equal(t, want, a.Local(), text)
	}
	require.False(t, addr.Loopback("127.0.0.1"), "without a port it is no address")
}

// What is accepted can be given to package net, and is the same when it is written and read again.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"tcp://127.0.0.1:1", "tcp://%zz", "ws://]", "wss://[fe80::1%25eth0]:1/x?y", "unix://a",
		"ws://h?q", "tcp://[::%2525]:1",
		"ws://[::1]", "ws://h//", "ws://h/\u00a0", "tcp://:1", "tcp://[::ffff:1.2.3.4]:01"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		dial := func(s string) (addr.Address, error) { return addr.Dial(s, "1883", all...) }
		listen := func(s string) (addr.Address, error) { return addr.Listen(s, all...) }
		for _, parse := range []func(string) (addr.Address, error){dial, listen} {
			a, err := parse(s)
			if err != nil {
				if strings.Contains(err.Error(), "\n") {
					t.Fatalf("%q: error of several lines: %v", s, err)
				}
				continue
			}
			if again, err := parse(a.String()); err != nil || again != a {
				t.Fatalf("%q is %+v, which is %q, which is %+v, %v", s, a, a.String(), again, err)
			}
			if a.Scheme == "unix" {
				continue
			}
			host, port, err := net.SplitHostPort(a.Host)
			if err != nil || net.JoinHostPort(host, port) != a.Host {
				t.Fatalf("%q has host %q: %v", s, a.Host, err)
			}
			if n, err := strconv.ParseUint(port, 10, 16); err != nil {
				t.Fatalf("%q has port %d: %v", s, n, err)
			}
			if addr.CheckListen(a.Host) != nil && !strings.Contains(host, "%") {
				t.Fatalf("%q has host %q, which is not one to listen at", s, a.Host)
			}
		}
	})
}
