//go:build !linux

package stall

import "net"

// LimitUnsent is for Linux; elsewhere the system holds what it wants.
func LimitUnsent(net.Conn) {}
