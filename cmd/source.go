package cmd

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/conf/line"
	"github.com/baetyl/baetyl/utils/file"
)

// appFile is the application in a folder or a package.
const appFile = "application.yml"

// packaged bounds what a package may unpack to.
var packaged = file.Limits{Bytes: 4 << 30, Files: 100_000}

// source is an application that an argument names, with the folders of its volumes where it has some.
type source struct {
	name   string // for messages: the file
	data   []byte
	app    *app.Config
	folder string // that the volumes lie in; empty: there is a file alone
	close  func()
}

// open reads the application that an argument names: a file, - for the standard input, a folder or a package (.zip)
// with an application.yml. Its error has the status for files that are wrong.
func (e *env) open(argument string) (s source, err error) {
	s = source{name: argument, close: func() {}}
	if argument == "-" {
		s.name = "standard input"
		s.data, err = io.ReadAll(io.LimitReader(e.Stdin, conf.MaxSize+1))
		if err == nil && len(s.data) > conf.MaxSize {
			err = fmt.Errorf("%s: larger than %d bytes", s.name, conf.MaxSize)
		}
		return s.parsed(err)
	}
	info, err := os.Stat(argument)
	switch {
	case err != nil:
		return s, err
	case info.IsDir():
		s.folder = argument
	case isTar(argument):
		return s, misconfigured(fmt.Errorf("%s: pack it as .zip, as the packages that the agent takes", argument))
	case strings.EqualFold(filepath.Ext(argument), ".zip"):
		if err := s.unzip(); err != nil {
			return s, misconfigured(err)
		}
	}
	if s.folder != "" {
		s.name = filepath.Join(argument, appFile)
		s.data, err = conf.ReadFile(filepath.Join(s.folder, appFile))
	} else {
		s.data, err = conf.ReadFile(argument)
	}
	if s, err = s.parsed(err); err != nil {
		s.close()
	}
	return s, err
}

// isTar tells by its name whether a file is an archive of the other kind.
func isTar(name string) bool {
	name = strings.ToLower(name)
	return strings.HasSuffix(name, ".tar") || strings.HasSuffix(name, ".tar.gz") || strings.HasSuffix(name, ".tgz")
}

// unzip puts the package into a new folder, which close removes.
func (s *source) unzip() error {
	dir, err := os.MkdirTemp("", "baetyl-package")
	if err != nil {
		return err
	}
	s.close = func() { _ = os.RemoveAll(dir) }
	if err := file.Unzip(s.name, dir, packaged); err != nil {
		s.close()
		return err
	}
	s.folder = dir
	return nil
}

// parsed checks what was read.
func (s source) parsed(err error) (source, error) {
	if err == nil {
		s.app, err = app.Parse(s.name, s.data)
	}
	if err != nil {
		return s, misconfigured(s.located(err))
	}
	return s, nil
}

// located is an error of the file with the number of the line, where that is known.
func (s source) located(err error) error {
	var wrong *conf.Error
	if !errors.As(err, &wrong) {
		return err
	}
	if n := line.Read(s.data).Of(wrong.Path); wrong.Path != "" && n > 0 {
		return fmt.Errorf("%s: line %d: %s: %w", s.name, n, wrong.Path, wrong.Err)
	}
	return err
}

// place puts folders of volumes of s that the device does not have yet into dir, its working directory, each with one
// rename. It returns the paths of those that it has put there, and of those that were there already and stay as they
// are.
func (s source) place(dir string) (placed, there []string, err error) {
	if s.folder == "" {
		return nil, nil, nil
	}
	for _, v := range s.app.Volumes {
		from := filepath.Join(s.folder, v.Path)
		info, err := os.Stat(from)
		if v.Path == "" || errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
			continue
		}
		if err != nil {
			return placed, there, err
		}
		below, err := filepath.Rel(volumes, filepath.Clean(v.Path))
		if err != nil || below == "." || !filepath.IsLocal(below) {
			return placed, there, misconfigured(fmt.Errorf("%s: volume %s: path %s is not below %s, where volumes of a folder "+
				"or a package go", s.name, v.Name, v.Path, volumes))
		}
		done, err := placeOne(from, dir, v.Path)
		if errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%w: only who may write to %s can bring volumes; try it as root", err, filepath.Join(dir, volumes))
		}
		if err != nil {
			return placed, there, fmt.Errorf("volume %s: %w", v.Name, err)
		}
		if done {
			placed = append(placed, v.Path)
		} else {
			there = append(there, v.Path)
		}
	}
	return placed, there, nil
}

// volumes is the folder that every volume of a package lies in.
const volumes = "var/db/baetyl"

// placeOne copies a folder to path in the working directory, unless there is something.
func placeOne(from, dir, path string) (done bool, err error) {
	base, err := filepath.EvalSymlinks(filepath.Join(dir, volumes))
	if err != nil {
		return false, err
	}
	to := filepath.Join(dir, path)
	if _, err := os.Lstat(to); err == nil {
		return false, nil
	}
	if err := file.OS.MakeDir(filepath.Dir(to), 0o755); err != nil {
		return false, err
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(to))
	if err != nil {
		return false, err
	}
	if below, err := filepath.Rel(base, parent); err != nil || !filepath.IsLocal(below) {
		return false, fmt.Errorf("%s leads out of %s by a link", path, volumes)
	}
	temp, err := os.MkdirTemp(parent, ".apply-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(temp)
	whole := filepath.Join(temp, "volume")
	err = os.CopyFS(whole, os.DirFS(from))
	if err == nil {
		err = file.SyncTree(whole)
	}
	if err == nil {
		err = os.Rename(whole, filepath.Join(parent, filepath.Base(to)))
	}
	if err == nil {
		err = file.SyncDir(parent)
	}
	return err == nil, err
}
