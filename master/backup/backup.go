// Package backup puts what makes a device into one file, while its services run, and makes a device of such a file.
//
//	Write ─► live passes: files as they are ─► freeze ─► what changed meanwhile, to a spool ─► thaw ─► spool, manifest
//	           tar.gz, to the caller            services     a moment, with a deadline
//	Verify ─► every byte, against the manifest at the end
//	Restore ─► Verify ─► unpack beside ─► sync ─► record ─► renames ─► done; Recover ends a restore that was interrupted
//
// It promises that the files of a backup are those of one moment, that frozen services go on whatever happens, that a
// cut or damaged file is told from a whole one before anything is touched, and that a restore is done completely or not
// at all. It knows neither engines nor the API: the master hands in what freezes.
package backup

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/utils/log"
)

// Limits of a backup.
const (
	maxEntries = 500_000         // files, folders and links
	maxFrozen  = 8 * time.Second // that services are frozen; after 10 s docker.Engine.Run continues a paused container
	maxTries   = 3               // of a freeze in which something wrote nevertheless, or that took too long
	maxPasses  = 4               // before the freeze, while much changes
	fewBytes   = 32 << 20        // that have changed: the freeze may begin
	spare      = 64 << 20        // bytes of the disk that the spool leaves free
)

// Folders of the master, relative to its working directory.
const (
	confDir = "etc/baetyl"
	dataDir = "var/db/baetyl"
	logDir  = "var/log/baetyl"
)

// mastersDirs are never a volume's own: a volume that contains one of them is in the backup as far as they are.
var mastersDirs = []string{"bin", "etc", confDir, "var", "var/db", dataDir, "var/log", logDir, "var/run"}

// hostFiles belong to one host, or to one installation on it, and would be wrong on another: numbers of users, the id
// of the master at docker, what it pulled there.
var hostFiles = []string{
	dataDir + "/users.json", dataDir + "/master.id", dataDir + "/pulled.json", stateFile,
}

// Freezer holds what writes, for a moment.
type Freezer interface {
	// Freeze returns when nothing of the services runs. thaw lets them go on; it is called once, also after an error of
	// the backup.
	Freeze(ctx context.Context) (thaw func(), err error)
}

// Options say what a backup has.
type Options struct {
	Workdir  string // absolute
	Mode     string // of the master
	Version  string // of the program
	Revision string
	HostID   string
	Logs     bool // with var/log/baetyl, and the volumes that services write their logs to

	// Application returns what runs, or what would; it is asked anew in each pass, since it may change meanwhile
	Application func() *app.Config
	Freeze      Freezer                               // nil: nothing runs
	Hold        func(context.Context) (func(), error) // keeps updates away while services are frozen; nil: there are none
	Log         log.Logger
}

// roots are the folders and files that are in the backup, relative to the working directory, none within another one;
// left says what of the application is not in them.
func roots(c *app.Config) (list []string, left []LeftOut) {
	list = []string{confDir, dataDir}
	for _, v := range c.Volumes {
		path := filepath.Clean(v.Path)
		switch {
		case v.Managed():
			left = append(left, LeftOut{Path: "volume " + v.Name,
				Why: "docker keeps it; copy it by hand, or give it a path below var/db/baetyl"})
		case !filepath.IsLocal(path) || path == "." || slices.Contains(mastersDirs, path):
			if path != dataDir && path != confDir {
				left = append(left, LeftOut{Path: path, Why: "it is a folder of the master: " +
					"etc/baetyl and var/db/baetyl are in the backup, nothing else of it"})
			}
		case within("var/run", path):
			left = append(left, LeftOut{Path: path, Why: "it is of this boot"})
		default:
			list = append(list, path)
		}
	}
	slices.Sort(list)
	list = slices.Compact(list)
	return slices.DeleteFunc(list, func(p string) bool {
		return slices.ContainsFunc(list, func(q string) bool { return p != q && within(q, p) })
	}), left
}

// logVolumes are the paths of volumes that services write their logs to: mounted at var/log and nowhere else.
func logVolumes(c *app.Config) (out []string) {
	logs, other := map[string]bool{}, map[string]bool{}
	for _, s := range c.Services {
		for _, m := range s.Mounts {
			if within("var/log", strings.TrimPrefix(filepath.Clean(m.Path), "/")) {
				logs[m.Name] = true
			} else {
				other[m.Name] = true
			}
		}
	}
	for _, v := range c.Volumes {
		if logs[v.Name] && !other[v.Name] && !v.Managed() {
			out = append(out, filepath.Clean(v.Path))
		}
	}
	return out
}

// platform is what programs have to be built for.
func platform() string { return runtime.GOOS + "/" + runtime.GOARCH }

// within tells whether path is dir, or below it. Both are clean.
func within(dir, path string) bool {
	return path == dir || strings.HasPrefix(path, dir+string(filepath.Separator))
}

// excluded says why the path, relative to the working directory, is not in a backup; empty: it is.
func (p *pass) excluded(path string) string {
	base := filepath.Base(path)
	switch {
	case slices.Contains(hostFiles, path):
		return "it belongs to this host"
	case base == stageDir, strings.HasPrefix(base, asidePrefix):
		return "a restore has left it"
	case !p.o.Logs && slices.ContainsFunc(p.logs, func(l string) bool { return within(l, path) && l != path }):
		return "logs; --logs takes them"
	}
	return ""
}

// ErrChanging is the error of a backup whose files do not come to rest.
var ErrChanging = errors.New("files change while the services are frozen")

// spool is a file without a name: the kernel removes it with this process, however that ends.
func spool(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, ".backup-")
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}
