package measure

import (
	"time"

	"github.com/shirou/gopsutil/v4/disk"

	"github.com/baetyl/baetyl/utils/host"
)

// GetDisk describes the local file systems.
func GetDisk() *host.Disk {
	out := &host.Disk{Time: time.Now().UTC()}
	root, err := FileSystem("/")
	if err != nil {
		out.Error = err.Error()
	} else {
		out.FileSystem = root
	}
	parts, err := disk.Partitions(false) // devices only: a dead network mount would hang
	if err != nil {
		out.Error = err.Error()
	}
	seen := map[string]bool{}
	for _, p := range parts {
		if p.Mountpoint == "/" || seen[p.Device] { // a bind mount shows its device again
			continue
		}
		seen[p.Device] = true
		if fs, err := FileSystem(p.Mountpoint); err == nil { // else it was unmounted, or access is denied: left out
			out.Others = append(out.Others, fs)
		}
	}
	return out
}

// FileSystem describes the one that path is on. A dead disk, or a network file system without its server, holds it up.
func FileSystem(path string) (host.FileSystem, error) {
	u, err := disk.Usage(path)
	if err != nil {
		return host.FileSystem{}, err
	}
	return host.FileSystem{
		Path:              path,
		Fstype:            u.Fstype,
		Total:             u.Total,
		Free:              u.Free,
		Used:              u.Used,
		UsedPercent:       percent(u.UsedPercent),
		InodesTotal:       u.InodesTotal,
		InodesUsed:        u.InodesUsed,
		InodesFree:        u.InodesFree,
		InodesUsedPercent: percent(u.InodesUsedPercent),
	}, nil
}
