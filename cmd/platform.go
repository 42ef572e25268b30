package cmd

import (
	"runtime/debug"
	"strings"
)

// goarm is the GOARM of the build, empty when it is not recorded.
func goarm() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "GOARM" {
			version, _, _ := strings.Cut(s.Value, ",") // "7" or "7,softfloat"
			return version
		}
	}
	return ""
}
