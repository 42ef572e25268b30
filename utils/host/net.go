package host

import (
	"net"
	"time"
)

// Net is the network interfaces of the machine.
type Net struct {
	Time       time.Time   `json:"time"`
	Interfaces []Interface `json:"interfaces,omitempty"`
	Error      string      `json:"error,omitempty"`
}

// Interface is one network interface.
type Interface struct {
	Index int       `json:"index"`
	Name  string    `json:"name"`
	MAC   string    `json:"mac,omitempty"`
	Addrs []Address `json:"addrs,omitempty"`
	Error string    `json:"error,omitempty"`
}

// Address is one address of an interface, in CIDR form.
type Address struct {
	Network string `json:"network"`
	Address string `json:"address"`
}

// GetNet describes the network interfaces.
func GetNet() *Net {
	out := &Net{Time: time.Now().UTC()}
	list, err := net.Interfaces()
	if err != nil {
		out.Error = err.Error()
	}
	for _, i := range list {
		e := Interface{Index: i.Index, Name: i.Name, MAC: i.HardwareAddr.String()}
		addrs, err := i.Addrs()
		if err != nil {
			e.Error = err.Error()
		}
		for _, a := range addrs {
			e.Addrs = append(e.Addrs, Address{Network: a.Network(), Address: a.String()})
		}
		out.Interfaces = append(out.Interfaces, e)
	}
	return out
}
