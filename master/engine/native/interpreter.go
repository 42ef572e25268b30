//go:build unix

package native

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/baetyl/baetyl/master/engine/folder"
)

// maxLinks is how many links in a row are followed; the system itself follows 40.
const maxLinks = 40

// interpreters returns the folders outside of the package that its program needs to run: of the interpreter in its
// first line, and of the Python that a virtual environment in the package was made of. They are given to a service
// whose user may not enter a folder above them, as pyenv's in /root. A package that is a service's has none, since the
// service would choose what it sees; and an interpreter is a program of root, found by links of root. search is PATH.
func interpreters(p program, search string) []string {
	if !masters(p.root) {
		return nil
	}
	var out []string
	add := func(file string) {
		way := hops(file)
		foreign := func(f string) bool { return !masters(f) }
		if len(way) == 0 || !runnable(way[len(way)-1]) || slices.ContainsFunc(way, foreign) {
			return
		}
		for _, f := range way {
			if dir := installation(f); !folder.Within(dir, p.root) && !slices.Contains(out, dir) {
				out = append(out, dir)
			}
		}
	}
	if fields := shebang(p.path); len(fields) > 0 {
		add(fields[0])
		if filepath.Base(fields[0]) == "env" {
			for _, name := range fields[1:] {
				if !strings.HasPrefix(name, "-") && !strings.Contains(name, "=") {
					add(find(name, search))
					break
				}
			}
		}
	}
	for _, env := range []string{p.root, filepath.Join(p.root, "venv")} {
		add(filepath.Join(env, "bin/python"))
		if home := homeOf(filepath.Join(env, "pyvenv.cfg")); home != "" {
			add(filepath.Join(home, "python"))
		}
	}
	return out
}

// masters tells whether the file, folder or link at path is root's, or of the user of the master: of no service.
func masters(path string) bool {
	info, err := os.Lstat(path)
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && (stat.Uid == 0 || int(stat.Uid) == os.Geteuid())
}

// runnable tells whether path is a program.
func runnable(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// shebang returns the words of the first line of a script, nil for other files.
func shebang(path string) []string {
	line, ok := strings.CutPrefix(firstLine(path), "#!")
	if !ok {
		return nil
	}
	return strings.Fields(line)
}

// firstLine returns at most 256 bytes of a regular file.
func firstLine(path string) string {
	f, err := openRegular(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	line, _ := bufio.NewReaderSize(io.LimitReader(f, 256), 256).ReadString('\n') // a line may end with the file
	return line
}

// homeOf reads the folder of the Python that a virtual environment was made of (pyvenv.cfg, PEP 405).
func homeOf(cfg string) string {
	f, err := openRegular(cfg)
	if err != nil {
		return ""
	}
	defer f.Close()
	data, _ := io.ReadAll(io.LimitReader(f, 64<<10)) // what could be read counts
	return parseHome(data)
}

func parseHome(cfg []byte) string {
	for line := range bytes.Lines(cfg) {
		if k, v, ok := strings.Cut(string(line), "="); ok && strings.TrimSpace(k) == "home" {
			if home := strings.TrimSpace(v); filepath.IsAbs(home) {
				return filepath.Clean(home)
			}
		}
	}
	return ""
}

// hops returns path and what each link on the way leads to, absolute; nil when there is nothing at the end.
func hops(path string) []string {
	var out []string
	for range maxLinks {
		if path == "" || !filepath.IsAbs(path) {
			return nil
		}
		dir, err := filepath.EvalSymlinks(filepath.Dir(path))
		if err != nil {
			return nil
		}
		path = filepath.Join(dir, filepath.Base(path))
		out = append(out, path)
		to, err := os.Readlink(path)
		if err != nil {
			if _, err := os.Lstat(path); err != nil {
				return nil
			}
			return out
		}
		if !filepath.IsAbs(to) {
			to = filepath.Join(dir, to)
		}
		path = to
	}
	return nil
}

// installation is the folder that a program was installed in: the one above bin or, with pyenv, shims. A program in
// ~/bin or ~/.local/bin has none of its own: the folder above it holds much else.
func installation(file string) string {
	dir := filepath.Dir(file)
	above := filepath.Dir(dir)
	switch filepath.Base(dir) {
	case "bin", "shims":
		// Below the home of a user, at least one folder of its own: /root/.pyenv, not /root.
		if home := filepath.Dir(above); home != "/" && filepath.Base(above) != ".local" && home != "/home" {
			return above
		}
	}
	return dir
}

// find looks a program up in PATH.
func find(name, search string) string {
	for _, dir := range filepath.SplitList(search) {
		path := filepath.Join(dir, name)
		info, err := os.Stat(path)
		if filepath.IsAbs(path) && err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}
