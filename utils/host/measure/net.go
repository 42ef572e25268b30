package measure

import (
	"net"
	"time"

	"github.com/baetyl/baetyl/utils/host"
)

// GetNet describes the network interfaces.
func GetNet() *host.Net {
	out := &host.Net{Time: time.Now().UTC()}
	list, err := net.Interfaces()
	if err != nil {
		out.Error = err.Error()
	}
	for _, i := range list {
		e := host.Interface{Index: i.Index, Name: i.Name, MAC: i.HardwareAddr.String()}
		addrs, err := i.Addrs()
		if err != nil {
			e.Error = err.Error()
		}
		for _, a := range addrs {
			e.Addrs = append(e.Addrs, host.Address{Network: a.Network(), Address: a.String()})
		}
		out.Interfaces = append(out.Interfaces, e)
	}
	return out
}
