package logs

import (
	"bytes"
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

// watch calls tell with the name of each file in dir that changes, and with none when there is no telling what has.
// stop ends it; nil: dir cannot be watched. It is not called from tell.
func watch(dir string, tell func(name string)) (stop func()) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil
	}
	const mask = unix.IN_MODIFY | unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE |
		unix.IN_ONLYDIR
	if _, err := unix.InotifyAddWatch(fd, dir, mask); err != nil {
		_ = unix.Close(fd)
		return nil
	}
	f := os.NewFile(uintptr(fd), "inotify")
	go func() { // ends when f is closed
		buf := make([]byte, 64*(unix.SizeofInotifyEvent+unix.NAME_MAX+1))
		for {
			n, err := f.Read(buf)
			if err != nil {
				return
			}
			for _, name := range names(buf[:n]) {
				tell(name)
			}
		}
	}()
	return func() { _ = f.Close() }
}

// names are those of what changed, each once.
func names(events []byte) (out []string) {
	last := "\x00"
	for len(events) >= unix.SizeofInotifyEvent {
		size := int(binary.NativeEndian.Uint32(events[12:]))
		events = events[unix.SizeofInotifyEvent:]
		size = min(size, len(events))
		name := string(bytes.TrimRight(events[:size], "\x00"))
		events = events[size:]
		if name != last {
			out = append(out, name)
			last = name
		}
	}
	return out
}
