//go:build unix

package native

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/baetyl/baetyl/master/engine/folder"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/utils/conf"
)

// manifest is package.yml.
type manifest struct {
	Entry string `yaml:"entry" json:"entry"` // program, relative to the package
}

// findEntry returns the absolute path of the program of the package that image names, in the service's directory dir:
// a ':' of the image becomes a '/', as in lib/baetyl/hub.baidubce.com/baetyl/cmd/0.1.2.
func findEntry(dir, image string) (string, error) {
	name, err := app.CleanPath(strings.ReplaceAll(strings.TrimSpace(image), ":", "/"))
	if err != nil {
		return "", fmt.Errorf("image: %w", err)
	}
	rel := filepath.Join("lib/baetyl", filepath.FromSlash(name))
	file := filepath.Join(rel, "package.yml")
	data, err := conf.ReadFile(filepath.Join(dir, file))
	if errors.Is(err, fs.ErrNotExist) {
		const text = "open %s: no such file or directory; mount the volume that holds package %q at %s"
		return "", fmt.Errorf(text, file, image, rel)
	}
	if err != nil {
		return "", err
	}
	var m manifest
	// A package may come from anywhere, so it must not read the master's variables.
	none := func(string) (string, bool) { return "", false }
	if err := conf.Parse(file, data, &m, conf.Env(none)); err != nil {
		return "", err
	}
	if m.Entry == "" {
		return "", fmt.Errorf("%s: entry: must not be empty; write the path of the program in the package", file)
	}
	entry, err := app.CleanPath(m.Entry)
	if err != nil {
		return "", fmt.Errorf("%s: entry: %w", file, err)
	}
	root, err := filepath.EvalSymlinks(filepath.Join(dir, rel))
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, rel, filepath.FromSlash(entry))
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", fmt.Errorf("%s: entry: %s is not in the package", file, m.Entry)
	}
	if !folder.Within(real, root) {
		return "", fmt.Errorf("%s: entry: %s leads out of the package, to %s", file, m.Entry, real)
	}
	info, err := os.Stat(real)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s: entry: %s is not a file", file, m.Entry)
	}
	if info.Mode()&0o111 == 0 { // unpacked from an archive without modes
		if err := os.Chmod(real, 0o755); err != nil {
			return "", fmt.Errorf("make entry executable: %w", err)
		}
	}
	return path, nil
}

// explain says what is missing when the system answers "no such file" to the start of an existing program: the
// interpreter of a script, or the loader of a binary.
func explain(entry string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, openErr := os.Open(entry)
	if openErr != nil {
		return err
	}
	defer f.Close()
	line, _ := bufio.NewReaderSize(f, 256).ReadString('\n') // a file without a line end is not a script either
	if fields := strings.Fields(strings.TrimPrefix(line, "#!")); strings.HasPrefix(line, "#!") && len(fields) > 0 {
		return fmt.Errorf("interpreter %s of %s is not installed", fields[0], filepath.Base(entry))
	}
	return fmt.Errorf("%w (or its loader is not installed: the program is for another system)", err)
}
