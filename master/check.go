package master

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/baetyl/baetyl/master/application"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/rules"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/cert"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/file"
)

// What is wrong is of two kinds. What keeps a whole master from starting is an error, here and at the start, by the
// same code (startable). What one service cannot have is that service's: a warning of `baetyl check` (Warnings), an
// error of the service in inspect, and of an update that brings it (update.Options.Rules, engine.Engine.Prepare).

// Check says why no master can start in workdir, with the configuration at a path that may be relative to it, or has an
// application that it cannot read. It touches nothing. What changes by itself is none of its business, as a port that
// the running application has, or a certificate that ends soon: a running master asks the next one by it. The
// configuration is returned also with an error of the application.
func Check(workdir, config string, opts ...conf.Option) (Config, error) {
	c, err := LoadConfig(inDir(workdir, config), opts...)
	if err != nil {
		return c, err
	}
	// Whoever checks may be another user than the one that runs the master.
	if err := c.startable(workdir); err != nil && !errors.Is(err, fs.ErrPermission) {
		return c, err
	}
	_, _, err = application.Choose(file.OS, workdir)
	if errors.Is(err, fs.ErrPermission) { // what would run instead is not known either
		_, _, err = application.Read(file.OS, filepath.Join(workdir, application.File))
		if errors.Is(err, fs.ErrPermission) {
			return c, fmt.Errorf("%w; check as the user that runs the master", err)
		}
	}
	return c, err
}

// Unwritable names the folders that a master has to write to and this user may not: none can start as this user.
func (c Config) Unwritable(workdir string) (out []string) {
	admin := filepath.Join(workdir, masterapi.AdminSocket)
	for _, path := range []string{c.Socket(workdir), admin, filepath.Join(workdir, application.File)} {
		if path == "" {
			continue
		}
		at := filepath.Dir(path)
		for _, err := os.Stat(at); errors.Is(err, fs.ErrNotExist) && at != filepath.Dir(at); _, err = os.Stat(at) {
			at = filepath.Dir(at)
		}
		text := fmt.Sprintf("uid %d may not write to %s: a master of this user cannot start; start it as one that may, and "+
			"check as that one", os.Geteuid(), at)
		// By the effective user, and what the server of a network file system says of it.
		if errors.Is(unix.Faccessat(unix.AT_FDCWD, at, unix.W_OK|unix.X_OK, unix.AT_EACCESS), unix.EACCES) &&
			!slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
}

// Warnings names what services of an application ask for and cannot have. e is an engine that runs nothing.
func Warnings(a *app.Config, e engine.Engine) []string {
	out := rules.Check(a, e.Name())
	for _, s := range a.Services {
		if err := e.Check(application.ServiceOf(a, s)); err != nil {
			out = append(out, fmt.Sprintf("service %s cannot start: %s", s.Name, err))
		}
	}
	return out
}

// startable says why a master with this configuration cannot start in workdir. It changes nothing.
func (c Config) startable(workdir string) error {
	admin := filepath.Join(workdir, masterapi.AdminSocket)
	for _, s := range []struct{ what, path string }{
		{"server.address", c.Socket(workdir)}, {"admin socket", admin},
	} {
		if s.path == "" {
			continue
		}
		err := http.CheckSocket(s.path)
		if err == nil {
			err = replaceable(s.path)
		}
		if err == nil {
			err = makeable(filepath.Dir(s.path))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
	}
	if err := makeable(filepath.Dir(filepath.Join(workdir, lockFile))); err != nil {
		return fmt.Errorf("lock of the working directory: %w", err)
	}
	if l := c.Listen(workdir).Config; l.Cert != "" {
		if _, err := cert.Server(l); err != nil {
			return fmt.Errorf("server: %w", err)
		}
	}
	_, err := c.serial(workdir)
	return err
}

// replaceable tells whether a socket can be made at path: nothing but a socket may be there.
func replaceable(path string) error {
	info, err := os.Lstat(path)
	if err == nil && info.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("%s exists and is not a socket; remove it, or choose another address", path)
	}
	return nil
}

// maxName is how long the name of a file may be, in bytes (NAME_MAX).
const maxName = 255

// makeable tells whether the folder dir is there, or can be made. Who may do it is another question: `check` may be
// another user than the master.
func makeable(dir string) error {
	for name := range strings.SplitSeq(dir, "/") {
		if len(name) > maxName { // the system says so only where the folder above is there
			return fmt.Errorf("%s: %w, a name has at most %d bytes; shorten it", dir, unix.ENAMETOOLONG, maxName)
		}
	}
	for at := dir; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		switch {
		case err == nil && !info.IsDir():
			return fmt.Errorf("%s is needed as a folder, and is a file; move it away", at)
		case err == nil:
			if errors.Is(unix.Access(at, unix.W_OK), unix.EROFS) {
				return fmt.Errorf("%s lies on a file system that is mounted read-only; mount it writable, or choose another "+
					"working directory with -w", at)
			}
			return nil
		case errors.Is(err, fs.ErrNotExist):
			if _, err := os.Lstat(at); err == nil {
				return fmt.Errorf("%s is a link to nothing; make the folder that it leads to, or remove it", at)
			}
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}

// serial is the serial number of the device; empty: no file is configured.
func (c Config) serial(workdir string) (string, error) {
	if c.SNFile == "" {
		return "", nil
	}
	sn, err := conf.ReadFile(inDir(workdir, c.SNFile))
	if err != nil {
		return "", fmt.Errorf("snfile: %w", err)
	}
	return strings.TrimSpace(string(sn)), nil
}
