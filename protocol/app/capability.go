package app

import (
	"fmt"
	"slices"
	"strings"
)

// capabilities are those of Linux, without CAP_ (capabilities(7)).
var capabilities = strings.Fields(`AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN
	DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE
	MKNOD NET_ADMIN NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP SETUID SYSLOG SYS_ADMIN
	SYS_BOOT SYS_CHROOT SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG
	WAKE_ALARM`)

// dockerCapabilities are those that docker leaves to a container which nobody says anything of.
var dockerCapabilities = strings.Fields(`AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE
	NET_RAW SETFCAP SETGID SETPCAP SETUID SYS_CHROOT`)

// AllCapabilities stands for each of them.
const AllCapabilities = "ALL"

// ParseCapability reads a name in any case, with or without CAP_, or ALL. It returns it in capitals, without CAP_.
func ParseCapability(text string) (string, error) {
	name := strings.TrimPrefix(strings.ToUpper(text), "CAP_")
	if name == AllCapabilities || slices.Contains(capabilities, name) {
		return name, nil
	}
	return "", fmt.Errorf("there is no capability %q; write a name such as NET_ADMIN or SYS_TIME, or ALL", text)
}

// capabilityNames are texts, which have been checked, as ParseCapability returns them, in order and each once.
func capabilityNames(texts []string) (out []string) {
	for _, t := range texts {
		if name, err := ParseCapability(t); err == nil {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
