package cmd

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/baetyl/baetyl/keeper"
	"github.com/baetyl/baetyl/master/ota"
)

func versionCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print what this program is", Args: noArgs,
		Example:     "  baetyl version",
		Annotations: map[string]string{offline: "true"},
		RunE: func(*cobra.Command, []string) error {
			fmt.Fprintf(e.Out, "Version:      %s\nGit revision: %s\nGo version:   %s\nPlatform:     %s\n%-13s %d\n\n",
				Version, Revision, runtime.Version(), platform(), ota.KeeperLine, keeper.Protocol)
			return nil
		},
	}
}

// platform is os/arch, with the variant that this binary was built for where there is one.
func platform() string {
	if runtime.GOARCH == "arm" && goarm() != "" {
		return runtime.GOOS + "/arm/v" + goarm()
	}
	return runtime.GOOS + "/" + runtime.GOARCH
}
