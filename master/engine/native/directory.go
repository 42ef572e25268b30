//go:build unix

package native

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/baetyl/baetyl/master/engine/folder"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// Folders below the working directory of the master.
const (
	runDir       = "var/run/baetyl"
	servicesDir  = runDir + "/services"
	instancesDir = runDir + "/instances"
	socketPath   = "var/run/baetyl.sock"
)

// maxSocket is how long the path of a unix socket may be, without the zero byte (sun_path of unix(7)).
const maxSocket = 107

// minSocket is what is left of it for the name of a socket in an instance's private folder.
const minSocket = 16

// maxEntries is how many entries of a service's directory are searched for links of earlier mounts: the service decides
// how many there are.
const maxEntries = 10_000

// maxDepth is how deep below the directory they are searched, and portion how many entries of a folder are read at
// once.
const (
	maxDepth = 16
	portion  = 256
)

// build makes the directory of a service with its links, or brings an existing one up to date: what is right stays,
// since instances may run in it. The service can write there, so nothing is reached through a link that it may have
// made (os.Root).
func build(dir string, links []link, roots []string, uid, gid int) error {
	if err := makeFolder(dir, serviceMode(uid), uid, gid); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := prune(root, links, roots); err != nil {
		return err
	}
	for _, l := range links {
		if err := makeLink(root, l, uid, gid); err != nil {
			return fmt.Errorf("%s: %w", l.what, err)
		}
	}
	return nil
}

// serviceMode is the mode of a service's directory: private when the service has a user of its own.
func serviceMode(uid int) fs.FileMode {
	if uid < 0 {
		return 0o755
	}
	return 0o700
}

// makeLink makes one link with the folders above it, unless it is there.
func makeLink(root *os.Root, l link, uid, gid int) error {
	target := filepath.FromSlash(l.target)
	for _, above := range parents(target) {
		info, err := root.Lstat(above)
		if err == nil && !info.IsDir() { // of an earlier application, or of the service itself
			if err := root.Remove(above); err != nil {
				return err
			}
			err = fs.ErrNotExist
		}
		if err == nil {
			continue
		}
		if err := root.Mkdir(above, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if err := root.Lchown(above, uid, gid); err != nil {
			return err
		}
	}
	if now, err := root.Readlink(target); err == nil && now == l.source {
		return nil
	}
	dir, err := openFolder(root, filepath.Dir(target))
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := folder.RemoveIn(dir, filepath.Base(target)); err != nil {
		return err
	}
	return root.Symlink(l.source, target)
}

// openFolder opens a folder to read it. It does not wait for a pipe that the service has put in its place.
func openFolder(root *os.Root, path string) (*os.File, error) {
	return root.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
}

// parents returns the folders above path, the outermost first.
func parents(path string) (out []string) {
	for dir := filepath.Dir(path); dir != "."; dir = filepath.Dir(dir) {
		out = append(out, dir)
	}
	slices.Reverse(out)
	return out
}

// prune removes the links of mounts that the service does not have any more: those that lead into one of roots. What
// the service has made itself stays, while its instances run on. It looks for them as deep as mounts are likely to be.
func prune(root *os.Root, links []link, roots []string) error {
	p := pruner{root: root, links: links, roots: roots}
	return p.folder(".", 0)
}

type pruner struct {
	root  *os.Root
	links []link
	roots []string
	seen  int // entries
}

// folder prunes the folder at path. It reads it in portions: the service decides how large it is.
func (p *pruner) folder(path string, depth int) error {
	dir, err := openFolder(p.root, path)
	if err != nil {
		return err
	}
	defer dir.Close()
	for {
		entries, err := dir.ReadDir(portion)
		for _, d := range entries {
			if p.seen++; p.seen > maxEntries {
				return nil
			}
			if err := p.entry(filepath.Join(path, d.Name()), d, depth); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || len(entries) == 0 {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (p *pruner) entry(path string, d fs.DirEntry, depth int) error {
	if d.IsDir() && depth < maxDepth {
		_ = p.folder(path, depth+1) // the service may have removed it, or closed it for a master that is not root
		return nil
	}
	if d.Type() != fs.ModeSymlink || slices.ContainsFunc(p.links, func(l link) bool { return l.target == path }) {
		return nil
	}
	to, err := p.root.Readlink(path)
	if err != nil || !folder.Within(to, p.roots...) || folder.Within(to, p.root.Name()) {
		return nil // not one of ours
	}
	if err := p.root.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// makeFolder makes dir, which lies in a folder of the master, with its mode and owner. -1: not changed.
func makeFolder(dir string, mode fs.FileMode, uid, gid int) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(dir, mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is no folder", dir)
	}
	if err := os.Chmod(dir, mode); err != nil {
		return err
	}
	return os.Lchown(dir, uid, gid)
}

// privateDir is the folder of one instance for its sockets and secrets. Names that are too long for the path of a
// socket are replaced by a digest of them. The path may be too long all the same: see checkSocket.
func privateDir(workdir, service, instance string) string {
	dir := filepath.Join(workdir, instancesDir, service, instance)
	if checkSocket(dir) == "" {
		return dir
	}
	sum := sha256.Sum256([]byte(service + "/" + instance))
	return filepath.Join(workdir, instancesDir, hex.EncodeToString(sum[:6]))
}

// RunDir implements engine.Folders.
func (e *Engine) RunDir(service, instance string) string {
	return privateDir(e.opts.Workdir, service, instance)
}

// checkSocket says when a socket in dir would have a path that is too long; empty when it would not.
func checkSocket(dir string) string {
	if len(dir)+1+minSocket <= maxSocket {
		return ""
	}
	const text = "the path %s (%s) is too long for unix sockets: it leaves less than %d of %d bytes for a name; " +
		"install below a shorter path"
	return fmt.Sprintf(text, dir, masterapi.EnvRunDir, minSocket, maxSocket)
}
