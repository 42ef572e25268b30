package measure

import (
	"os"
	"strconv"
	"strings"

	"github.com/shirou/gopsutil/v4/host"
)

// BootID identifies this boot of the machine; it is empty when the system does not tell.
func BootID() string {
	if id, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		return strings.TrimSpace(string(id))
	}
	at, err := host.BootTime()
	if err != nil {
		return ""
	}
	return strconv.FormatUint(at, 10)
}
