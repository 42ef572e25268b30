package addr

import (
	"net"
	"net/netip"
)

// Peer returns whom the other end of a connection counts as: its address, of IPv6 the network of 64 bits, since one
// host may use all of its addresses. Where there is none, a unix socket for example, the result is not valid.
func Peer(a net.Addr) netip.Addr {
	from, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	ip := from.AddrPort().Addr().Unmap().WithZone("")
	if ip.Is4() || ip.IsLoopback() {
		return ip
	}
	network, _ := ip.Prefix(64) // an error only for what is not valid
	return network.Addr()
}
