package host

import (
	"time"

	"github.com/shirou/gopsutil/v4/disk"
)

// Disk is the file system of the root, with the other local file systems beside it.
type Disk struct {
	Time time.Time `json:"time"`
	FileSystem
	Others []FileSystem `json:"others,omitempty"`
	Error  string       `json:"error,omitempty"`
}

// FileSystem is one mounted file system.
type FileSystem struct {
	Path              string  `json:"path,omitempty"`
	Fstype            string  `json:"fstype,omitempty"`
	Total             uint64  `json:"total,omitempty"`
	Free              uint64  `json:"free,omitempty"`
	Used              uint64  `json:"used,omitempty"`
	UsedPercent       float64 `json:"used_percent"`
	InodesTotal       uint64  `json:"inodes_total,omitempty"`
	InodesUsed        uint64  `json:"inodes_used,omitempty"`
	InodesFree        uint64  `json:"inodes_free,omitempty"`
	InodesUsedPercent float64 `json:"inodes_used_percent"`
}

// GetDisk describes the local file systems.
func GetDisk() *Disk {
	out := &Disk{Time: time.Now().UTC()}
	root, err := fileSystem("/")
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
		if fs, err := fileSystem(p.Mountpoint); err == nil { // gone or not allowed: not ours to report
			out.Others = append(out.Others, fs)
		}
	}
	return out
}

func fileSystem(path string) (FileSystem, error) {
	u, err := disk.Usage(path)
	if err != nil {
		return FileSystem{}, err
	}
	return FileSystem{
		Path: path, Fstype: u.Fstype, Total: u.Total, Free: u.Free, Used: u.Used, UsedPercent: percent(u.UsedPercent),
		InodesTotal: u.InodesTotal, InodesUsed: u.InodesUsed, InodesFree: u.InodesFree, InodesUsedPercent: percent(u.InodesUsedPercent),
	}, nil
}
