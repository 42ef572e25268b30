// Package host holds the types that describe a machine and its processes, ready for JSON. The package measure fills
// them in; a program that only passes them on does not link the libraries for measuring.
//
// Percentages are 0…100 and never NaN, sizes are bytes. A part that cannot be measured carries its error; the others
// stay.
package host

import "time"

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

// CPU is the processors of the machine, or of one instance, which has only Time, UsedPercent, Seconds, PIDs and Error.
type CPU struct {
	Time        time.Time `json:"time"`
	Mhz         float64   `json:"mhz,omitempty"`
	Cores       int       `json:"cores,omitempty"` // logical, of all packages
	CacheSize   int32     `json:"cache_size,omitempty"`
	ModelName   string    `json:"model_name,omitempty"`
	PhysicalID  string    `json:"physical_id,omitempty"`
	UsedPercent float64   `json:"used_percent"`       // machine: 100 is all cores; instance: 100 is one core
	Packages    []Package `json:"packages,omitempty"` // when there is more than one
	Seconds     float64   `json:"seconds,omitempty"`  // instance: processor time since its start
	PIDs        int       `json:"pids,omitempty"`     // instance: processes and threads, or what the host counts of them
	Error       string    `json:"error,omitempty"`
}

// Package is one processor with its cores.
type Package struct {
	PhysicalID string  `json:"physical_id"`
	ModelName  string  `json:"model_name,omitempty"`
	Cores      int     `json:"cores"`
	Mhz        float64 `json:"mhz,omitempty"`
	CacheSize  int32   `json:"cache_size,omitempty"`
}

// Mem is the memory of the machine, or of one instance, which has not all fields.
type Mem struct {
	Time            time.Time `json:"time"`
	Total           uint64    `json:"total,omitempty"`
	Free            uint64    `json:"free,omitempty"` // available without swapping
	Used            uint64    `json:"used,omitempty"`
	UsedPercent     float64   `json:"used_percent"`
	SwapTotal       uint64    `json:"swap_total,omitempty"`
	SwapFree        uint64    `json:"swap_free,omitempty"`
	SwapUsed        uint64    `json:"swap_used,omitempty"`
	SwapUsedPercent float64   `json:"swap_used_percent"`
	Error           string    `json:"error,omitempty"`
}

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

// Net is the network interfaces of the machine.
type Net struct {
	Time       time.Time   `json:"time"`
	Interfaces []Interface `json:"interfaces,omitempty"`
	Error      string      `json:"error,omitempty"`
}

// Interface is one network interface.
type Interface struct {
	Index int       `json:"index"`
	Name  string    `json:"name"`
	MAC   string    `json:"mac,omitempty"`
	Addrs []Address `json:"addrs,omitempty"`
	Error string    `json:"error,omitempty"`
}

// Address is one address of an interface, in CIDR form.
type Address struct {
	Network string `json:"network"`
	Address string `json:"address"`
}

// GPU is one graphics processor.
type GPU struct {
	Index          string  `json:"index"`
	Model          string  `json:"model"`
	MemTotal       uint64  `json:"mem_total"`
	MemFree        uint64  `json:"mem_free"`
	MemUsedPercent float64 `json:"mem_used_percent"`
	GPUUsedPercent float64 `json:"gpu_used_percent"`
}
