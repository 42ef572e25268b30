//go:build !linux

package doctor

import (
	"context"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

func unknown(context.Context, *Options) []masterapi.Finding {
	return info("not examined on this system")
}

// What the kernel of Linux tells.
var checkClock, checkDisk, checkMemory, checkDescriptors, checkCgroups, checkBoot, checkKernel, checkLogs = unknown,
	unknown, unknown, unknown, unknown, unknown, unknown, unknown
