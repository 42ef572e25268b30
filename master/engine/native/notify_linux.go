package native

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// canNotify: the kernel says who has sent a datagram.
const canNotify = true

// maxPassed is how many descriptors the kernel lets a datagram have (SCM_MAX_FD of unix(7)).
const maxPassed = 253

// openNotify makes the socket at path, in a folder that nobody but the master may enter yet, for a user.
func openNotify(path string, uid, gid int) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	f := os.NewFile(uintptr(fd), path)
	err = errors.Join(
		os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PASSCRED, 1)),
		os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrUnix{Name: path})),
	)
	if err == nil {
		err = errors.Join(os.Chmod(path, 0o600), os.Lchown(path, uid, gid))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// receive takes one datagram, with EAGAIN when there is none.
func receive(fd int) (datagram, error) {
	text := make([]byte, maxDatagram)
	control := make([]byte, unix.CmsgSpace(unix.SizeofUcred)+unix.CmsgSpace(4*maxPassed))
	n, cn, flags, _, err := unix.Recvmsg(fd, text, control, unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
	for errors.Is(err, unix.EINTR) {
		n, cn, flags, _, err = unix.Recvmsg(fd, text, control, unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
	}
	if err != nil {
		return datagram{}, err
	}
	d := datagram{text: text[:n], cut: flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0, pid: -1, uid: -1}
	messages, err := unix.ParseSocketControlMessage(control[:cn])
	if err != nil {
		d.cut = true
	}
	for _, m := range messages {
		if fds, err := unix.ParseUnixRights(&m); err == nil {
			d.files = append(d.files, fds...)
		} else if cred, err := unix.ParseUnixCredentials(&m); err == nil {
			d.pid, d.uid = int(cred.Pid), int(cred.Uid)
		}
	}
	return d, nil
}

// listens tells whether fd is a socket that listens. It asks no file system.
func listens(fd int) bool {
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	return err == nil && n != 0
}

// sendAway accepts connections of the sockets fds and closes them, until stop is called, which waits for that. The
// sockets stay as they are: a service may want them to be blocking ones.
func sendAway(fds []int) (stop func(), err error) {
	ours, theirs, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	list := []unix.PollFd{{Fd: int32(number(ours)), Events: unix.POLLIN}}
	for _, fd := range fds {
		list = append(list, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	done := make(chan struct{})
	go func() { // ends with stop
		defer close(done)
		for list[0].Revents == 0 {
			if _, err := unix.Poll(list, -1); err != nil {
				continue // EINTR
			}
			for n := range list[1:] {
				sendOneAway(&list[n+1])
			}
		}
	}()
	return func() {
		_ = theirs.Close()
		<-done
		_ = ours.Close()
	}, nil
}

func sendOneAway(p *unix.PollFd) {
	if p.Revents == 0 {
		return
	}
	fd, _, err := unix.Accept4(int(p.Fd), unix.SOCK_CLOEXEC)
	switch {
	case err == nil:
		_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}) // the client is told at once
		_ = unix.Close(fd)
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE),
		errors.Is(err, unix.ENOMEM), errors.Is(err, unix.ENOBUFS):
		time.Sleep(100 * time.Millisecond)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EBADF), errors.Is(err, unix.ENOTSOCK):
		p.Fd = -1 // it does not listen any more
	}
}
