package listen

import (
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

// listenerOf returns the listener of a descriptor, which it takes over.
func listenerOf(fd int) (net.Listener, error) {
	syscall.CloseOnExec(fd)
	if n, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN); err != nil || n == 0 {
		return nil, fmt.Errorf("descriptor %d does not listen", fd)
	}
	f := os.NewFile(uintptr(fd), "inherited")
	defer f.Close() // FileListener has its own
	return net.FileListener(f)
}

// store hands a listener over.
func store(manager, name string, ln *net.TCPListener) error {
	raw, err := ln.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	err = raw.Control(func(fd uintptr) { sent = send(manager, "FDSTORE=1\nFDNAME="+name, int(fd)) })
	if err != nil {
		return err
	}
	return sent
}

// remove lets the manager close what it has of that name, and waits for that.
func remove(manager, name string) error {
	if err := send(manager, "FDSTOREREMOVE=1\nFDNAME="+name, -1); err != nil {
		return err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	raw, err := w.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	err = raw.Control(func(fd uintptr) { sent = send(manager, "BARRIER=1", int(fd)) }) // who reads it closes it
	_ = w.Close()
	if err != nil {
		return err
	}
	if sent != nil {
		return sent
	}
	_ = r.SetReadDeadline(time.Now().Add(timeout))
	if _, err := r.Read(make([]byte, 1)); os.IsTimeout(err) {
		return err
	}
	return nil
}

// send sends a datagram, with a descriptor unless that is -1. It waits for timeout at most.
func send(manager, text string, fd int) error {
	to, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer syscall.Close(to)
	limit := syscall.NsecToTimeval(timeout.Nanoseconds())
	if err := syscall.SetsockoptTimeval(to, syscall.SOL_SOCKET, syscall.SO_SNDTIMEO, &limit); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	var rights []byte
	if fd >= 0 {
		rights = syscall.UnixRights(fd)
	}
	address := &syscall.SockaddrUnix{Name: manager}
	return os.NewSyscallError("sendmsg", syscall.Sendmsg(to, []byte(text), rights, address, 0))
}
