//go:build unix && !linux

package native

import (
	"errors"
	"os"
	"os/exec"
)

// ShimArg is not used on this system.
const ShimArg = "native-shim"

// Shim is for Linux only; nothing starts one here.
func Shim([]string) { os.Exit(1) }

func tryShim(string) error { return errors.New("mount namespaces need Linux") }

func viaShim(*exec.Cmd, []string) {}

func startShim(cmd *exec.Cmd) error { return cmd.Start() }
