package main

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/baetyl/baetyl/utils/file"
)

// limits of a package: the largest of ours holds one Go binary of about 20 MB.
var limits = file.Limits{Bytes: 512 << 20, Files: 20000}

// pack writes the package of a module: its package.yml, its bin/ and the files that a runtime needs beside them. A Go
// module needs no package.yml of its own: the entry is the binary of the same name that was built in its folder; if it
// runs functions, it has a function.yml. The same input gives the same bytes.
func pack(args []string, _ io.Writer) error {
	args, err := positional(args, "module dir", "zip")
	if err != nil {
		return err
	}
	dir, archive := filepath.Clean(args[0]), args[1]
	tmp, err := os.CreateTemp(filepath.Dir(archive), ".package-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	w := zip.NewWriter(tmp)
	if err := addModule(w, dir); err != nil {
		return errors.Join(fmt.Errorf("pack %s: %w", dir, err), tmp.Close())
	}
	if err := errors.Join(w.Close(), tmp.Chmod(0o644), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), archive)
}

func addModule(w *zip.Writer, dir string) error {
	name := filepath.Base(dir)
	if !file.Exists(filepath.Join(dir, "main.go")) {
		return addRuntime(w, dir)
	}
	manifest := filepath.Join(dir, "package.yml")
	if file.Exists(manifest) {
		if err := addFile(w, manifest, "package.yml", 0o644); err != nil {
			return err
		}
	} else if err := add(w, "package.yml", 0o644, strings.NewReader("entry: bin/"+name+"\n")); err != nil {
		return err
	}
	if abilities := filepath.Join(dir, "function.yml"); file.Exists(abilities) {
		if err := addFile(w, abilities, "function.yml", 0o644); err != nil {
			return err
		}
	}
	return addFile(w, filepath.Join(dir, name), "bin/"+name, 0o755)
}

// addRuntime takes the whole folder of a function runtime but its tests and what installing leaves behind. Links are
// followed: python27 shares the handler of python36.
func addRuntime(w *zip.Writer, dir string) error {
	if !file.Exists(filepath.Join(dir, "package.yml")) {
		return errors.New("package.yml is missing, and main.go too: it is neither a runtime nor a Go module")
	}
	return walk(dir, "", func(source, name string, info fs.FileInfo) error {
		perm := fs.FileMode(0o644)
		if info.Mode()&0o100 != 0 {
			perm = 0o755
		}
		return addFile(w, source, name, perm)
	})
}

// walk calls visit for every file to pack under dir, in the order of names.
func walk(dir, prefix string, visit func(source, name string, info fs.FileInfo) error) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		source, name := filepath.Join(dir, e.Name()), path.Join(prefix, e.Name())
		info, err := os.Stat(source)
		if err != nil {
			return err
		}
		switch {
		case leftOut(e.Name()):
		case info.IsDir():
			err = walk(source, name, visit)
		default:
			err = visit(source, name, info)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func leftOut(name string) bool {
	switch name {
	case "test", "tests", "testdata", "node_modules", "venv", "__pycache__", "package.zip", "README.md", "Makefile",
		"Dockerfile":
		return true
	}
	return strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".go") || strings.HasSuffix(name, ".pyc")
}

func addFile(w *zip.Writer, source, name string, perm fs.FileMode) error {
	f, err := os.Open(source)
	if err != nil {
		return err
	}
	defer f.Close()
	return add(w, name, perm, f)
}

// add writes one entry; the time stays empty, so that a package depends on its content alone.
func add(w *zip.Writer, name string, perm fs.FileMode, r io.Reader) error {
	h := &zip.FileHeader{Name: name, Method: zip.Deflate}
	h.SetMode(perm)
	e, err := w.CreateHeader(h)
	if err != nil {
		return err
	}
	_, err = io.Copy(e, r)
	return err
}

// unpack replaces the package folder by what the archive holds. What was prepared beside it at an earlier install (a
// venv, node_modules) moves along, so that a second install does not fetch it again.
func unpack(args []string, _ io.Writer) error {
	args, err := positional(args, "zip", "package dir")
	if err != nil {
		return err
	}
	archive, dir := args[0], filepath.Clean(args[1])
	return replace(dir, func(fresh string) error {
		if err := file.Unzip(archive, fresh, limits); err != nil {
			return fmt.Errorf("unpack %s: %w", archive, err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, e := range entries {
			target := filepath.Join(fresh, e.Name())
			if _, err := os.Lstat(target); !errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err := os.Rename(filepath.Join(dir, e.Name()), target); err != nil {
				return err
			}
		}
		return nil
	})
}

// own replaces the package folder of a Go module by one without a program: its package.yml names that of the
// installation. What was there before goes, also the module's program of an earlier install.
func own(args []string, _ io.Writer) error {
	args, err := positional(args, "module dir", "package dir")
	if err != nil {
		return err
	}
	module, dir := filepath.Clean(args[0]), filepath.Clean(args[1])
	return replace(dir, func(fresh string) error {
		if err := os.MkdirAll(fresh, 0o755); err != nil {
			return err
		}
		text := fmt.Sprintf("entry: '@baetyl'\nargs: [module, %s]\n", filepath.Base(module))
		if err := os.WriteFile(filepath.Join(fresh, "package.yml"), []byte(text), 0o644); err != nil {
			return err
		}
		data, err := os.ReadFile(filepath.Join(module, "function.yml"))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return errors.Join(err, os.WriteFile(filepath.Join(fresh, "function.yml"), data, 0o644))
	})
}

// replace puts the folder that write makes in the place of dir.
func replace(dir string, write func(fresh string) error) error {
	fresh, old := dir+".new", dir+".old"
	if err := errors.Join(os.RemoveAll(fresh), os.RemoveAll(old)); err != nil {
		return err
	}
	if err := write(fresh); err != nil {
		return err
	}
	if err := os.Rename(dir, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return errors.Join(os.Rename(fresh, dir), os.RemoveAll(old))
}
