//go:build unix

package native

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/baetyl/baetyl/master/engine/folder"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/utils/conf"
)

// maxManifest is how large package.yml and function.yml may be, in bytes.
const maxManifest = 1 << 20

var errNotFile = errors.New("is not a file")

// ownProgram is the entry of a package without a program: the program of this installation, baetyl, is all modules in
// one file. It is no path, so that no file of a package is meant by it.
const ownProgram = "@baetyl"

// manifest is package.yml.
type manifest struct {
	Entry string   `yaml:"entry" json:"entry"` // program, relative to the package, or ownProgram
	Args  []string `yaml:"args" json:"args"`   // in front of those of the service
}

// abilities are function.yml, which a package of a function runtime may have beside package.yml: a master that does not
// know a key of package.yml refuses the package.
type abilities struct {
	// the program listens at BAETYL_SERVICE_INSTANCE_ADDRESS also where that is unix:<path>
	Socket bool `yaml:"socket" json:"socket"`
	// file of the package that is there once bin/prepare has made it ready; empty: it always is
	Prepared string `yaml:"prepared" json:"prepared"`
}

// program is what a package starts.
type program struct {
	path   string   // of its entry in the source of the volume, or of ownProgram; no link of the service leads there
	args   []string // manifest.Args
	root   string   // of the package
	socket bool     // abilities.Socket
}

// findEntry returns the program of the package that image names: a ':' of the image becomes a '/', as in
// lib/baetyl/hub.baidubce.com/baetyl/cmd/0.1.2. It is looked up in the sources of links, not in the directory of the
// service, which can put other links there. own is the path of ownProgram. change tells whether the entry is made
// executable where it is not.
func findEntry(links []link, image, own string, change bool) (program, error) {
	name, err := app.CleanPath(strings.ReplaceAll(strings.TrimSpace(image), ":", "/"))
	if err != nil {
		return program{}, fmt.Errorf("image: %w", err)
	}
	rel := filepath.Join("lib/baetyl", filepath.FromSlash(name))
	file := filepath.Join(rel, "package.yml")
	const text = "open %s: no such file or directory; mount the volume that holds package %q at %s"
	missing := fmt.Errorf(text, file, image, rel)
	volume, inner := "", ""
	for _, l := range links {
		if rest, ok := strings.CutPrefix(rel+"/", l.target+"/"); ok {
			volume, inner = l.source, rest
		}
	}
	if volume == "" {
		return program{}, missing
	}
	root, err := openBelow(volume, inner)
	if errors.Is(err, fs.ErrNotExist) {
		return program{}, missing
	}
	if err != nil {
		return program{}, err
	}
	defer root.Close()
	m, err := readManifest(root, file)
	if errors.Is(err, fs.ErrNotExist) {
		return program{}, missing
	}
	if err != nil {
		return program{}, err
	}
	p := program{path: own, args: m.Args, root: filepath.Join(volume, inner)}
	if m.Entry != ownProgram {
		entry, err := app.CleanPath(m.Entry)
		if err != nil {
			return program{}, fmt.Errorf("%s: entry: %w", file, err)
		}
		entry = filepath.FromSlash(entry)
		if err := checkEntry(root, entry, touches(links, p.root), change); err != nil {
			return program{}, fmt.Errorf("%s: entry: %w", file, err)
		}
		p.path = filepath.Join(p.root, entry)
	} else if own == "" {
		return program{}, fmt.Errorf("%s: entry: this master does not know its own program, which %s means", file, m.Entry)
	}
	a, err := readAbilities(root, filepath.Join(rel, "function.yml"))
	if err != nil {
		return program{}, err
	}
	p.socket = a.Socket
	return p, a.ready(root)
}

// openBelow opens the folder inner of a volume. A link in the volume cannot lead out of it.
func openBelow(volume, inner string) (*os.Root, error) {
	root, err := os.OpenRoot(volume)
	if err != nil || inner == "" {
		return root, err
	}
	defer root.Close()
	return root.OpenRoot(filepath.Clean(inner))
}

// openFile opens a regular file to read. It does not wait for the other end of a pipe.
func openFile(root *os.Root, name string) (*os.File, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return f, checkRegular(f)
}

// openRegular is openFile for an absolute path.
func openRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return f, checkRegular(f)
}

// checkRegular closes f unless it is a regular file.
func checkRegular(f *os.File) error {
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errNotFile
	}
	if err != nil {
		_ = f.Close() // the error before is returned
	}
	return err
}

// readAbilities reads function.yml; file is its name for messages. A package without one has none of them.
func readAbilities(root *os.Root, file string) (a abilities, err error) {
	if err := readYAML(root, file, &a); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return abilities{}, err
	}
	return a, nil
}

// ready says what is to be done before the package can start; nil: nothing. Otherwise its program would be started, and
// end, for each message.
func (a abilities) ready(root *os.Root) error {
	if a.Prepared == "" {
		return nil
	}
	if _, err := root.Lstat(filepath.FromSlash(a.Prepared)); !errors.Is(err, fs.ErrNotExist) {
		return nil // also where it cannot be said
	}
	const text = "the package is not prepared, %s is missing; run once, with network: %s"
	return fmt.Errorf(text, a.Prepared, filepath.Join(root.Name(), "bin/prepare"))
}

// readYAML reads a file of the package; file is its name for messages.
func readYAML(root *os.Root, file string, out any) error {
	f, err := openFile(root, filepath.Base(file))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	if len(data) > maxManifest {
		return fmt.Errorf("%s: has more than %d bytes", file, maxManifest)
	}
	// A package may come from anywhere, so it must not read the master's variables.
	return conf.Parse(file, data, out, conf.Only())
}

// readManifest reads package.yml; file is its name for messages.
func readManifest(root *os.Root, file string) (m manifest, err error) {
	if err := readYAML(root, file, &m); err != nil {
		return m, err
	}
	if m.Entry == "" {
		return m, fmt.Errorf("%s: entry: must not be empty; write the path of the program in the package, or %s",
			file, ownProgram)
	}
	return m, nil
}

// checkEntry checks that entry is a file of the package, and makes it executable if change is set, unless the service
// may have chosen which file it is: by writing the package, or by a second name. No link leads out of root, also none
// that is made meanwhile.
func checkEntry(root *os.Root, entry string, written, change bool) error {
	f, err := openFile(root, entry)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s is not in the package", entry)
	case errors.Is(err, errNotFile):
		return fmt.Errorf("%s %w", entry, err)
	case err != nil:
		to, linkErr := filepath.EvalSymlinks(filepath.Join(root.Name(), entry))
		if linkErr == nil && !folder.Within(to, root.Name()) {
			return fmt.Errorf("%s leads out of the package, to %s", entry, to)
		}
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if info.Mode()&0o111 == 0 { // unpacked from an archive without modes
		if stat, ok := info.Sys().(*syscall.Stat_t); written || !ok || stat.Nlink > 1 {
			const text = "%s is not executable, and is not made so: a service writes the package, or the file has a second " +
				"name; write `chmod 755 %s`"
			return fmt.Errorf(text, entry, filepath.Join(root.Name(), entry))
		}
		if !change {
			return nil
		}
		if err := f.Chmod(0o755); err != nil {
			return fmt.Errorf("make entry executable: %w", err)
		}
	}
	return nil
}

// What a process needs to become a service's program; what the program needs is more.
const (
	leastPids   = 8
	leastMemory = 8 << 20 // bytes
)

// tooLow adds to an error that is none of execve(2) which limit may be its reason.
func tooLow(r app.Resources, err error) error {
	if errno := syscall.Errno(0); errors.As(err, &errno) && errno != 0 {
		return err
	}
	if n := r.Pids.Limit; n > 0 && n < leastPids {
		err = fmt.Errorf("%w; resources.pids.limit is %d, and a start needs %d", err, n, leastPids)
	}
	if n := r.Memory.Limit; n > 0 && n < leastMemory {
		err = fmt.Errorf("%w; resources.memory.limit is %d bytes, and a start needs %d", err, n, leastMemory)
	}
	return err
}

// explain says why the system has refused to start the program entry: err is what execve(2) said, as "no such file" for
// a loader that is missing, or "permission denied" for a file system without programs. search is PATH.
func explain(entry, search string, err error) error {
	if errno := syscall.Errno(0); !errors.As(err, &errno) || errno == 0 {
		return err
	}
	if why := checkProgram(entry, search); why != nil {
		return fmt.Errorf("%w: %w", err, why)
	}
	return err
}
