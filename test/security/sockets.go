//go:build linux

package main

import (
	"encoding/hex"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// inodes are the sockets and pipes of a process, each with the number of a descriptor.
func inodes(pid int) map[string]string {
	out := map[string]string{}
	dir := filepath.Join("/proc", strconv.Itoa(pid), "fd")
	entries, _ := os.ReadDir(dir)
	for _, d := range entries {
		to, _ := os.Readlink(filepath.Join(dir, d.Name()))
		if strings.HasPrefix(to, "socket:[") || strings.HasPrefix(to, "pipe:[") {
			out[to] = d.Name()
		}
	}
	return out
}

// connection is one line of /proc/<pid>/net/tcp.
type connection struct {
	local, remote netip.AddrPort
	listens       bool
	inode         string
}

// connections reads /proc/<pid>/net/tcp and tcp6.
func connections(text string) (out []connection) {
	for _, line := range strings.Split(text, "\n") {
		f := strings.Fields(line)
		if len(f) < 10 {
			continue
		}
		local, ok := address(f[1])
		remote, also := address(f[2])
		if ok && also {
			out = append(out, connection{local, remote, f[3] == "0A", "socket:[" + f[9] + "]"})
		}
	}
	return out
}

// address reads 0100007F:075B: words of four bytes in the order of the machine, and the port.
func address(text string) (netip.AddrPort, bool) {
	host, port, _ := strings.Cut(text, ":")
	b, err := hex.DecodeString(host)
	n, wrong := strconv.ParseUint(port, 16, 16)
	if err != nil || wrong != nil || len(b) != 4 && len(b) != 16 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(b); i += 4 {
		slices.Reverse(b[i : i+4])
	}
	a, ok := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), ok
}

// firstFree is where the ports begin that the system chooses.
const firstFree = 32768

// hostName is an address as the tables have it.
func hostName(address string) string {
	if a, err := netip.ParseAddr(address); err != nil || a.IsUnspecified() { // docker: none is all
		return "all addresses"
	}
	return address
}

// listen notes the TCP ports of a process, and the unix sockets that have a path.
func (f *facts) listen(pid int) {
	for _, c := range connections(read(pid, "net/tcp") + "\n" + read(pid, "net/tcp6")) {
		if _, ours := f.inodes[c.inode]; !ours {
			continue
		}
		if !c.listens {
			f.Peers = append(f.Peers, c.remote.String())
			continue
		}
		host := hostName(c.local.Addr().String())
		port := strconv.Itoa(int(c.local.Port()))
		if c.local.Port() >= firstFree {
			port = "a free port"
		}
		f.Listens = append(f.Listens, host+": "+port)
	}
	for _, line := range strings.Split(read(pid, "net/unix"), "\n") {
		part := strings.Fields(line)
		if len(part) < 8 || strings.HasPrefix(part[7], "@") {
			continue
		}
		if _, ours := f.inodes["socket:["+part[6]+"]"]; ours && part[3] == "00010000" {
			f.Listens = append(f.Listens, filepath.Base(part[7]))
		}
	}
	slices.Sort(f.Listens)
	slices.Sort(f.Peers)
	f.Listens, f.Peers = slices.Compact(f.Listens), slices.Compact(f.Peers)
}

// named replaces the address of a peer by the service that listens there.
func named(all []facts) []facts {
	owner := map[string]string{}
	for _, f := range all {
		for _, l := range f.Listens {
			if _, port, ok := strings.Cut(l, ": "); ok {
				owner[port] = f.Name
			}
		}
	}
	for i := range all {
		var peers []string
		for _, p := range all[i].Peers {
			a, err := netip.ParseAddrPort(p)
			name, ok := owner[strconv.Itoa(int(a.Port()))]
			if err == nil && ok && name != all[i].Name {
				peers = append(peers, name)
			}
		}
		slices.Sort(peers)
		all[i].Peers = slices.Compact(peers)
	}
	return all
}

// maxDepth of folders that are searched for those that everybody may write to.
const maxDepth = 2

// writable are the folders that the process may write to beside those of services: that every user may write to or,
// when it passes all permissions, that no mount protects.
func writable(pid, uid int, passes bool) (out []string) {
	root := filepath.Join("/proc", strconv.Itoa(pid), "root")
	_ = filepath.WalkDir(root+"/", func(p string, d fs.DirEntry, err error) error {
		rel := "/" + strings.Trim(strings.TrimPrefix(p, root), "/")
		switch {
		case err != nil || !d.IsDir():
			return nil
		case rel == "/proc" || rel == "/sys" || strings.Count(rel, "/") > maxDepth:
			return fs.SkipDir
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok || !passes && stat.Mode&0o002 == 0 && (uid == 0 || int(stat.Uid) != uid) {
			return nil
		}
		var fsys unix.Statfs_t
		if unix.Statfs(p, &fsys) == nil && fsys.Flags&unix.ST_RDONLY == 0 {
			out = append(out, rel)
		}
		return nil
	})
	return out
}
