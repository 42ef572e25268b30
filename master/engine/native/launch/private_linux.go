package launch

import (
	"os"

	"golang.org/x/sys/unix"
)

// planTmp replaces /tmp, and shows it at /var/tmp too, unless that is a link to it or missing.
func (v *view) planTmp() error {
	const tmp, other = "/tmp", "/var/tmp"
	v.add(tmp, 0, "make a private "+tmp, func() error {
		v.tmp = append(v.tmp, tmp)
		return unix.Mount("tmpfs", tmp, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, tmpOptions)
	})
	if to, ok, err := resolve(other); err != nil || !ok || to == tmp {
		return err
	}
	v.add(other, 0, "make a private "+other, func() error {
		v.tmp = append(v.tmp, other)
		return unix.Mount(tmp, other, "", unix.MS_BIND, "")
	})
	return nil
}

// planIPC replaces what shows the shared memory and the message queues of the host, where the host has that. Memory of
// them that nobody removes would stay, and count for nobody.
func (v *view) planIPC() error {
	for _, m := range []struct{ path, system, options string }{
		{"/dev/shm", "tmpfs", tmpOptions}, {"/dev/mqueue", "mqueue", ""},
	} {
		to, ok, err := resolve(m.path)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		v.add(to, 3, "make a private "+m.path, func() error {
			if longest(v.covers, to) > longest(v.bound, to) { // a folder above is hidden
				if err := os.MkdirAll(to, 0o755); err != nil {
					return err
				}
			}
			v.tmp = append(v.tmp, to)
			return mount(m.system, to, m.system, unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, m.options)
		})
	}
	return nil
}
