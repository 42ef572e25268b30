//go:build unix

package native

import (
	"cmp"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/baetyl/baetyl/keeper"
	"github.com/baetyl/baetyl/master/engine/folder"
	"github.com/baetyl/baetyl/master/engine/output"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/log"
)

// selfExe is this program as another process finds it, also after its file has been replaced.
func selfExe() string {
	if runtime.GOOS == "linux" {
		return "/proc/" + strconv.Itoa(os.Getpid()) + "/exe"
	}
	path, err := os.Executable()
	if err != nil {
		return os.Args[0]
	}
	return path
}

// output is where the lines of an instance go.
func (e *Engine) output(service, instance string) keeper.Output {
	c, d := e.limits.Load(), conf.Default[log.Config]()
	return keeper.Output{
		File:     filepath.Join(e.opts.Workdir, output.File(service)),
		Instance: instance,
		Size:     cmp.Or(c.Size.Max, d.Size.Max),
		Age:      cmp.Or(c.Age.Max, d.Age.Max),
		Backups:  cmp.Or(c.Backup.Max, d.Backup.Max),
	}
}

// roots are where links of a service's directory lead, when they are ours.
func (e *Engine) roots() []string {
	roots := []string{e.opts.Workdir, e.real(folder.Data)}
	if e.opts.Socket != "" {
		roots = append(roots, e.socket())
	}
	return roots
}

// variable returns the value of a variable in an environment.
func variable(name string, environ []string) string {
	for _, kv := range environ {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v
		}
	}
	return ""
}
