package config_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/config"
	"github.com/baetyl/baetyl/protocol/admin"
	"github.com/baetyl/baetyl/utils/conf"
)

// The admin interface listens at a unix socket or not at all; errors say what to write.
func TestAdmin(t *testing.T) {
	parse := func(admin string) (c config.Config, err error) {
		err = conf.Parse("service.yml", []byte("listen: ['tcp://127.0.0.1:0']\nadmin: {"+admin+"}\n"), &c)
		return c, err
	}
	for admin, want := range map[string]admin.Config{
		"":                               {Address: admin.Auto, Group: "baetyl"},
		"address: '', group: ''":         {},
		"address: 'unix:///run/x'":       {Address: "unix:///run/x", Group: "baetyl"},
		"address: 'unix://run/x.sock'":   {Address: "unix://run/x.sock", Group: "baetyl"},
		"address: auto, group: 'adm_in'": {Address: admin.Auto, Group: "adm_in"},
	} {
		c, err := parse(admin)
		require.NoError(t, err, admin)
		require.Equal(t, want, c.Admin)
	}
	for admin, want := range map[string]string{
		"address: 'tcp://127.0.0.1:1'": "admin.address",
		"address: '/run/x'":            "or write auto, or '' for none",
		"address: 'unix://'":           "admin.address",
		"address: 'unix:///run/" + strings.Repeat("x", 120) + "'": "shorten it",
		"group: 'a b'": "admin.group",
		"adress: auto": "address",
	} {
		_, err := parse(admin)
		require.ErrorContains(t, err, want, admin)
		require.ErrorContains(t, err, "service.yml")
	}
}
