// Package host measures the machine: system, processors, memory, disks, network and GPUs, each in its file.
//
//	/proc, statfs, … (gopsutil) ─┐
//	nvidia-smi, with a deadline ─┴─► one value per kind, ready for JSON
//
// Percentages are 0…100 and never NaN, sizes are bytes. A part that cannot be measured carries its error; the others stay.
package host

import (
	"math"
	"time"

	"github.com/shirou/gopsutil/v4/host"
)

// Info is the system.
type Info struct {
	Time            time.Time `json:"time"`
	Hostname        string    `json:"hostname,omitempty"`
	Uptime          uint64    `json:"uptime,omitempty"`    // seconds
	BootTime        uint64    `json:"boot_time,omitempty"` // unix seconds
	ProcessNum      uint64    `json:"process_num,omitempty"`
	OS              string    `json:"os,omitempty"`
	Architecture    string    `json:"architecture,omitempty"`
	Platform        string    `json:"platform,omitempty"`
	PlatformFamily  string    `json:"platform_family,omitempty"`
	PlatformVersion string    `json:"platform_version,omitempty"`
	KernelVersion   string    `json:"kernel_version,omitempty"`
	HostID          string    `json:"host_id,omitempty"`
	Error           string    `json:"error,omitempty"`
}

// GetInfo describes the system.
func GetInfo() *Info {
	out := &Info{Time: time.Now().UTC()}
	i, err := host.Info()
	if err != nil {
		out.Error = err.Error()
	}
	if i == nil {
		return out
	}
	out.Hostname, out.Uptime, out.BootTime, out.ProcessNum = i.Hostname, i.Uptime, i.BootTime, i.Procs
	out.OS, out.Architecture = i.OS, i.KernelArch
	out.Platform, out.PlatformFamily, out.PlatformVersion = i.Platform, i.PlatformFamily, i.PlatformVersion
	out.KernelVersion, out.HostID = i.KernelVersion, i.HostID
	return out
}

// ID returns the fingerprint of the machine, empty when it has none.
func ID() string {
	id, err := host.HostID()
	if err != nil {
		return ""
	}
	return id
}

// percent makes a number fit for JSON, which has no NaN.
func percent(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
		return 0
	}
	return v
}
