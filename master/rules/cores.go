package rules

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/baetyl/baetyl/protocol/app"
)

const (
	minCPUs = 0.01 // docker's; less is no slice of time that the kernel can give
	maxCore = 8191 // docker's
)

func cores(s app.Service, _ *app.Config) (out []string) {
	cpu := s.Resources.CPU
	if cpu.Cpus > 0 && cpu.Cpus < minCPUs {
		out = append(out, fmt.Sprintf("resources.cpu.cpus: %v is less than docker's least, %v; raise it", cpu.Cpus, minCPUs))
	}
	if cpu.SetCPUs == "" {
		return out
	}
	for _, part := range strings.Split(cpu.SetCPUs, ",") {
		if _, _, ok := parseCores(part); !ok {
			out = append(out, fmt.Sprintf("resources.cpu.setcpus: docker refuses %q; write cores from 0 to %d, the lower first",
				part, maxCore))
		}
	}
	return out
}

// parseCores reads a part of a list of cores, 3 or 0-2.
func parseCores(part string) (first, last int, ok bool) {
	a, b, ranged := strings.Cut(part, "-")
	if !ranged {
		b = a
	}
	first, err1 := strconv.Atoi(a)
	last, err2 := strconv.Atoi(b)
	return first, last, err1 == nil && err2 == nil && first <= last && last <= maxCore
}
