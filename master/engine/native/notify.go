//go:build unix

package native

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/baetyl/baetyl/master/engine/native/launch"
)

// What an instance hands over comes as a service of systemd sends it (sd_notify(3)): in datagrams to the socket in
// NOTIFY_SOCKET. All of systemd's variables are allowed; those of the file descriptor store mean something here.
const (
	envNotify   = "NOTIFY_SOCKET"
	notifyName  = "notify" // of the socket, in the folder of the instance
	maxDatagram = 4096     // bytes
	unnamed     = "stored" // sd_notify(3), FDNAME
)

// notification is what a datagram says.
type notification struct {
	store, remove bool
	name          string
}

// parseNotification reads lines of NAME=value. Unknown names are for others.
func parseNotification(text []byte) (notification, error) {
	if len(text) > maxDatagram {
		return notification{}, fmt.Errorf("it has more than %d bytes", maxDatagram)
	}
	n := notification{name: unnamed}
	for line := range strings.SplitSeq(string(text), "\n") {
		key, value, _ := strings.Cut(line, "=")
		switch key {
		case "FDSTORE":
			n.store = value == "1"
		case "FDSTOREREMOVE":
			n.remove = value == "1"
		case "FDNAME":
			if !launch.IsSocketName(value) {
				return notification{}, fmt.Errorf("FDNAME %.40q is not the name of a socket", value)
			}
			n.name = value
		}
	}
	if n.store && n.remove {
		return notification{}, errors.New("it has both FDSTORE and FDSTOREREMOVE")
	}
	return n, nil
}

// datagram is one that has been received. Who takes it closes its files.
type datagram struct {
	text     []byte
	cut      bool // a part is missing
	pid, uid int  // of the sender, as the kernel says; -1: it does not
	files    []int
}

// notifier reads what one instance sends.
type notifier struct {
	file   *os.File
	raw    syscall.RawConn
	handle func(datagram)
	done   chan struct{}
}

// After so many datagrams nothing is read for a moment: the sender waits, not the master.
const (
	burst      = 16
	burstPause = 10 * time.Millisecond
)

// newNotifier reads from f, which it takes over, until close.
func newNotifier(f *os.File, handle func(datagram)) (*notifier, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	n := &notifier{file: f, raw: raw, handle: handle, done: make(chan struct{})}
	go n.run() // ends with close
	return n, nil
}

func (n *notifier) run() {
	defer close(n.done)
	for count := 1; ; count++ {
		var d datagram
		var err error
		closed := n.raw.Read(func(fd uintptr) bool {
			d, err = receive(int(fd))
			return !errors.Is(err, syscall.EAGAIN)
		})
		if err := errors.Join(closed, err); err != nil {
			return
		}
		n.handle(d)
		if count%burst == 0 {
			time.Sleep(burstPause)
		}
	}
}

// close ends it, after what has been sent before: the sender has ended.
func (n *notifier) close() {
	_ = n.file.SetReadDeadline(time.Now())
	<-n.done
	_ = n.raw.Control(func(fd uintptr) {
		for {
			d, err := receive(int(fd))
			if err != nil {
				return
			}
			n.handle(d)
		}
	})
	_ = n.file.Close()
}

// setAside closes descriptors of a service. It does not wait for that: SO_LINGER, or a file system that hangs, may.
func setAside(files []int) {
	if len(files) == 0 {
		return
	}
	go func() {
		for _, fd := range files {
			_ = syscall.Close(fd)
		}
	}()
}

// notified takes what the instance has sent.
func (i *instance) notified(d datagram) {
	n, err := parseNotification(d.text)
	switch {
	case err != nil:
	case d.cut:
		err = errors.New("it is too large")
	case !i.sent(d):
		err = fmt.Errorf("process %d of user %d is not one of the instance", d.pid, d.uid)
	case n.remove:
		i.sockets.remove(i.key(), n.name)
	case n.store:
		for len(d.files) > 0 && err == nil {
			fd := d.files[0]
			d.files = d.files[1:]
			err = i.sockets.add(i.key(), n.name, fd)
		}
	}
	setAside(d.files)
	if err != nil {
		i.refused.Do(func() {
			i.log.WithError(err).Warnf("what the instance hands over is refused; later ones are not logged")
		})
	}
}

// sent tells whether d is of the instance. One that has ended is known by its user, when nobody else has that.
func (i *instance) sent(d datagram) bool {
	if d.uid != i.uid {
		return false
	}
	return i.tree.has(d.pid) || i.sole && startOf(d.pid) == ""
}

// has tells whether a process is one of the instance: in its cgroup or, without one, in its process group, or started
// by one that is.
func (t *tree) has(pid int) bool {
	if t.in != nil {
		return t.in.Has(pid)
	}
	for range maxAncestors {
		if pid <= 1 {
			return false
		}
		if g, ok := groupOfLiving(pid); pid == t.group || ok && g == t.group {
			return true
		}
		pid = parentOf(pid)
	}
	return false
}

const maxAncestors = 64

// openNotifier begins to listen to an instance that has a socket for that.
func (i *instance) openNotifier(f *os.File) {
	if f == nil {
		return
	}
	n, err := newNotifier(f, i.notified)
	if err != nil {
		i.log.WithError(err).Warnf("cannot listen to the instance: its listening sockets do not survive it")
		return
	}
	i.notifier = n
}

// notifyPath is the path of the socket in the folder of an instance; empty when it would be too long.
func notifyPath(private string) string {
	if path := filepath.Join(private, notifyName); canNotify && len(path) <= maxSocket {
		return path
	}
	return ""
}

// quiet ends what listens to the instance.
func (i *instance) quiet() {
	i.silent.Do(func() {
		if i.notifier != nil {
			i.notifier.close()
		}
		if i.sockets != nil {
			i.sockets.ended(i.key())
		}
	})
}

func (i *instance) key() instanceKey { return keyOf(i.record) }
