package hub_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"
)

// Each principal with a password out of the documents is named once, with the listeners that other hosts can reach. The
// password never is.
func TestExamplePasswords(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("hahaha"), bcrypt.MinCost)
	require.NoError(t, err)
	const rights = ", permissions: [{action: pub, permit: ['#']}]}\n"
	users := "metrics: {address: ''}\nprincipals:\n" +
		"- {username: alice, password: hahaha" + rights +
		"- {username: bob, password: '" + string(hash) + "'" + rights +
		"- {username: carol, password: hahahaha" + rights +
		"- {username: device" + rights +
		"- {username: nobody, password: hahaha}\n"
	const all = "listen: ['tcp://127.0.0.1:0', 'tcp://0.0.0.0:0', 'ws://:0/mqtt']\n"
	r := run(t, all+users)
	warned := func(name string) int { return strings.Count(r.out.String(), "principal "+name+" has a password") }
	require.Eventually(t, func() bool { return warned("bob") == 1 }, time.Minute, time.Millisecond)
	require.Equal(t, 1, warned("alice"))
	text := r.out.String()
	require.Contains(t, text, "other hosts can reach tcp://0.0.0.0:0, ws://:0/mqtt: set another principals[].password")
	// erin stands behind the others: when she has been named, they would have been again.
	require.NoError(t, r.Reload(parse(t, all+users+"- {username: erin, password: hahaha"+rights)))
	require.Eventually(t, func() bool { return warned("erin") == 1 }, time.Minute, time.Millisecond)
	for name, times := range map[string]int{"alice": 1, "bob": 1, "carol": 0, "device": 0, "nobody": 0} {
		require.Equal(t, times, warned(name), name)
	}
	require.NotContains(t, r.out.String(), "hahaha")
	require.NotContains(t, r.out.String(), string(hash))

	r = run(t, "listen: ['tcp://127.0.0.1:0', 'ws://[::1]:0/mqtt']\n"+users)
	require.NoError(t, r.Reload(parse(t, "listen: ['tcp://127.0.0.1:0']\n"+users))) // it does not wait for anybody
	require.Zero(t, warned("alice"))
}

// A CA without a certificate has no effect, which was accepted before, and is said.
func TestAuthorityWithoutCertificate(t *testing.T) {
	r := run(t, "listen: ['tcp://127.0.0.1:0']\nmetrics: {address: ''}\ncertificate: {ca: x.pem}\n")
	require.Contains(t, r.out.String(), "certificate.ca: has no effect without certificate.cert and certificate.key")
}
