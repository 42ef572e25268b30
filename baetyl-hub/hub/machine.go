package hub

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// machineMemory returns the bytes of memory that the machine has, or fewer if a control group of this process (version
// 1 or 2) allows fewer; 0: not known. root is "/", or another folder for tests.
func machineMemory(root string) int64 {
	least := int64(0)
	take := func(n int64) {
		if n > 0 && (least == 0 || n < least) {
			least = n
		}
	}
	take(totalMemory(read(root, "proc/meminfo")))
	for controller, path := range groups(read(root, "proc/self/cgroup")) {
		for _, mount := range []string{"sys/fs/cgroup", "sys/fs/cgroup/unified", "sys/fs/cgroup/memory"} {
			file := "memory.max"
			if controller == "memory" {
				file = "memory.limit_in_bytes"
			}
			// Limits of the groups above hold as well. In a container, the path may be that of the host: then the
			// container's own group is at the root.
			for dir := path; ; dir = filepath.Dir(dir) {
				take(number(read(root, mount+dir+"/"+file)))
				if dir == "/" {
					break
				}
			}
		}
	}
	return least
}

func read(root, name string) string {
	b, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		return "" // there is no such group, or no such file in this version
	}
	return string(b)
}

// number reads the value of a limit; 0: it is none.
func number(text string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// totalMemory reads MemTotal of /proc/meminfo, in bytes; 0: it is not there. The system call sysinfo does not know of
// containers whose runtime gives them a /proc/meminfo of their own, and the library of utils/host would be linked into
// the hub for this one number.
func totalMemory(text string) int64 {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "MemTotal:"); ok {
			kb := number(strings.TrimSuffix(strings.TrimSpace(rest), "kB"))
			if kb < 1<<43 {
				return kb << 10
			}
		}
	}
	return 0
}

// groups reads /proc/self/cgroup: the path of the group of version 2, and of the controller memory of version 1, by
// controller, "" for version 2.
func groups(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		part := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(part) < 3 || !strings.HasPrefix(part[2], "/") {
			continue
		}
		for _, controller := range strings.Split(part[1], ",") {
			if controller == "" || controller == "memory" {
				out[controller] = filepath.Clean(part[2])
			}
		}
	}
	return out
}
