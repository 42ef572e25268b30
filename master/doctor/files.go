package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/state"
)

const (
	warning = masterapi.SeverityWarning
	failed  = masterapi.SeverityError

	confDir = "etc/baetyl"
	dataDir = "var/db/baetyl"
	logDir  = "var/log/baetyl"
)

func checkConfig(_ context.Context, o *Options) []masterapi.Finding {
	if o.ConfigErr != nil {
		return one(failed, o.ConfigErr.Error(), "correct conf.yml; baetyl check says when it is right")
	}
	return ok("mode %s", o.Mode)
}

func checkApplication(_ context.Context, o *Options) (out []masterapi.Finding) {
	if o.ApplicationErr != nil {
		out = one(failed, o.ApplicationErr.Error(), "correct it, and restart the master, or apply another one")
	}
	for _, text := range o.Advice {
		out = append(out, one(warning, text, "docs/configuration.md has the keys")...)
	}
	if len(o.Application.Services) == 0 {
		out = append(out, info("there is no service; apply an application")...)
	}
	return or(out, ok("version %q with %d services", o.Application.Version, len(o.Application.Services)))
}

const maxSocket = 107 // bytes of a path, without the zero byte (unix(7))

func checkSocket(ctx context.Context, o *Options) (out []masterapi.Finding) {
	for _, path := range []string{o.Socket, o.Admin} {
		if path == "" {
			continue
		}
		out = append(out, socket(ctx, o, path)...)
	}
	return or(out, ok("%s", o.Admin))
}

func socket(ctx context.Context, o *Options, path string) (out []masterapi.Finding) {
	if len(path) > maxSocket {
		return one(failed, fmt.Sprintf("%s has %d bytes, a socket may have %d", path, len(path), maxSocket),
			"use a shorter working directory, or another server.address")
	}
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && o.Inspect != nil:
		return one(failed, path+" is not there", "something has removed it; the master makes it anew within seconds")
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return one(warning, err.Error(), "examine as root, or as a member of the group baetyl")
	case info.Mode()&fs.ModeSocket == 0:
		return one(failed, path+" is not a socket", "move it away")
	}
	if o.Inspect == nil && !listens(ctx, path) {
		out = append(out, one(warning, path+" is left over, nobody listens there", "start the master, which replaces it")...)
	}
	for dir := filepath.Dir(path); strings.HasPrefix(dir+"/", o.Workdir+"/"); dir = filepath.Dir(dir) {
		if above, err := os.Stat(dir); err == nil && above.Mode().Perm()&0o002 != 0 && above.Mode()&fs.ModeSticky == 0 {
			out = append(out, one(failed, dir+" can be written by everybody, who can put a socket of his own there",
				"chmod o-w "+dir)...)
		}
	}
	return out
}

func listens(ctx context.Context, path string) bool {
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return errors.Is(err, fs.ErrPermission)
	}
	_ = c.Close()
	return true
}

func checkPermissions(ctx context.Context, o *Options) (out []masterapi.Finding) {
	note := func(path string, mode fs.FileMode) {
		switch {
		case mode&fs.ModeSymlink != 0:
		case mode.Perm()&0o002 != 0 && mode&fs.ModeSticky == 0 && mode&fs.ModeSocket == 0:
			out = append(out, one(warning, path+" can be written by everybody", "chmod o-w "+path)...)
		case mode.IsRegular() && mode.Perm()&0o004 != 0 && isKey(path):
			out = append(out, one(warning, path+" is a private key that everybody can read", "chmod o-r "+path)...)
		}
	}
	for _, root := range []string{confDir, dataDir, "bin"} {
		visit(ctx, filepath.Join(o.Workdir, root), 5, note)
	}
	return or(out, ok("nothing that others should not change or read"))
}

func isKey(path string) bool {
	if !slices.Contains([]string{".key", ".pem"}, filepath.Ext(path)) {
		return false
	}
	data, err := head(path, 64<<10)
	return err == nil && strings.Contains(string(data), "PRIVATE KEY")
}

// visit calls f for what is below path, some folders deep, until ctx ends. It follows no link.
func visit(ctx context.Context, path string, depth int, f func(path string, mode fs.FileMode)) {
	entries, _ := os.ReadDir(path) // what cannot be read has nothing
	for _, e := range entries {
		if ctx.Err() != nil {
			return
		}
		at := filepath.Join(path, e.Name())
		if info, err := e.Info(); err == nil {
			f(at, info.Mode())
		}
		if e.IsDir() && depth > 1 {
			visit(ctx, at, depth-1, f)
		}
	}
}

// head reads the beginning of a file. It waits for no pipe.
func head(path string, limit int) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file (%s)", path, info.Mode())
	}
	buf := make([]byte, limit)
	n := 0
	for n < limit {
		m, err := f.Read(buf[n:])
		n += m
		if err != nil || m == 0 {
			break
		}
	}
	return buf[:n], nil
}

func checkState(_ context.Context, o *Options) (out []masterapi.Finding) {
	entries, _ := os.ReadDir(filepath.Join(o.Workdir, dataDir)) // not there: nothing has run yet
	for _, e := range entries {
		path := filepath.Join(o.Workdir, dataDir, e.Name())
		switch {
		case strings.Contains(e.Name(), ".damaged"):
			out = append(out, one(warning, path+" was found damaged, and moved aside",
				"the disk may be failing: see the check kernel; remove the file when you have seen it")...)
		case e.Type().IsRegular() && (filepath.Ext(e.Name()) == ".json" || e.Name() == "application.last"):
			f := state.File[json.RawMessage]{Path: path, What: "state file", Version: 1 << 20, Log: log.Discard()}
			if _, err := f.Peek(); err != nil {
				out = append(out, one(failed, err.Error(), "the master moves it aside, and says what it does without it")...)
			}
		}
	}
	if _, err := os.Lstat(filepath.Join(o.Workdir, dataDir, "restore.json")); err == nil {
		out = append(out, one(failed, "a restore has not been finished", "start the master, or restore again")...)
	}
	return or(out, ok("whole"))
}

func checkStore(ctx context.Context, o *Options) (out []masterapi.Finding) {
	stores := 0
	for _, s := range o.Application.Services {
		for _, m := range s.Mounts {
			v := o.Application.Volume(m.Name)
			dir := filepath.Join(o.Workdir, v.Path)
			for _, store := range []string{dir, filepath.Join(dir, "store")} {
				if v.Managed() || !exists(filepath.Join(store, "log")) || !exists(filepath.Join(store, "state")) {
					continue
				}
				stores++
				out = append(out, store1(ctx, s.Name, store)...)
			}
		}
	}
	if stores == 0 {
		return info("there is no store of a hub")
	}
	return or(out, ok("%d stores", stores))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// store1 reads the store of a hub, which may run: what is written to it meanwhile is none of its business.
func store1(ctx context.Context, service, dir string) (out []masterapi.Finding) {
	current, err := head(filepath.Join(dir, "state", "CURRENT"), 100)
	manifest := strings.TrimSpace(string(current))
	known := strings.HasPrefix(manifest, "MANIFEST-") && exists(filepath.Join(dir, "state", filepath.Base(manifest)))
	if err != nil || !known {
		out = append(out, one(failed, fmt.Sprintf("store of %s: %s/state has no whole database", service, dir),
			"restore a backup; the hub starts without what was in it")...)
	}
	visit(ctx, dir, 2, func(path string, mode fs.FileMode) {
		switch {
		case strings.Contains(filepath.Base(path), ".damaged"):
			const text = "store of %s: %s was found damaged; messages in it are lost"
			out = append(out, one(failed, fmt.Sprintf(text, service, path),
				"the disk may be failing: see the check kernel; remove the file when you have seen it")...)
		case mode.IsRegular():
			if err := readable(ctx, path); err != nil && !errors.Is(err, fs.ErrNotExist) && ctx.Err() == nil {
				out = append(out, one(failed, fmt.Sprintf("store of %s: %s", service, err),
					"the disk may be failing: back up now")...)
			}
		}
	})
	return out
}

// readable reads a whole file, until ctx ends, to find what the disk does not give back.
func readable(ctx context.Context, path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, 256<<10)
	for ctx.Err() == nil {
		n, err := f.Read(buf)
		if n == 0 {
			if errors.Is(err, os.ErrClosed) || err == nil || err.Error() == "EOF" {
				return nil
			}
			return err
		}
	}
	return nil
}
