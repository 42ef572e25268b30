// Package measure measures the machine: system, processors, memory, disks, network and GPUs, each in its file.
//
//	/proc, statfs, … (gopsutil) ─┐
//	nvidia-smi, with a deadline ─┴─► the values of package host
//
// All functions may be called from any goroutine. They take milliseconds, those for GPUs up to some seconds.
package measure

import (
	"math"
	"time"

	pshost "github.com/shirou/gopsutil/v4/host"

	"github.com/baetyl/baetyl/utils/host"
)

// GetInfo describes the system.
func GetInfo() *host.Info {
	out := &host.Info{Time: time.Now().UTC()}
	i, err := pshost.Info()
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
	id, err := pshost.HostID()
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
