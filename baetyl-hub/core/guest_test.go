package core_test

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/budget"
	"github.com/baetyl/baetyl/baetyl-hub/core"
)

type at string

// RemoteAddr implements core.Handle.
func (a at) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(string(a)), Port: 5} }

// Half of the memory of connections without login is the most that one address gets; the loopback may have all of it.
// What is small needs none, and all comes back.
func TestGuestsByAddress(t *testing.T) {
	r := newRig(t, func(o *core.Options) { o.Hub = budget.Values{budget.Memory: 16 << 20} })
	var list []*core.Client
	open := func(from string, n int) bool {
		cl := core.NewClient(at(from))
		require.True(t, r.Open(cl))
		list = append(list, cl)
		return r.Expect(cl, n)
	}
	fill := func(from string) (n int) {
		for n = 0; open(from, 32<<10); n++ {
			require.Less(t, n, 1000)
		}
		require.True(t, open(from, 2000))
		return n
	}
	first := fill("192.0.2.1")
	require.Equal(t, first, fill("192.0.2.2"))
	require.InDelta(t, first, (2<<20)/(96<<10), 4)
	require.Zero(t, fill("2001:db8::1"), "all addresses together")
	require.NotZero(t, r.Stats().Unchecked)
	for _, cl := range list {
		r.Closed(cl, nil)
	}
	require.Zero(t, r.Stats().Unchecked)
	require.Greater(t, fill("127.0.0.1"), 3*first/2)
	require.NoError(t, r.Recount())
}
