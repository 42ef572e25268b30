package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"syscall"

	"github.com/baetyl/baetyl/utils/file"
)

// manifestPath is where an install notes what it wrote, relative to the prefix: a line "<sha256>  <path>" each, as
// sha256sum reads it. A file that no longer has its digest was changed by the user, and is the user's.
const manifestPath = "var/db/baetyl/.installed"

// application is the file of services; their environment may hold secrets.
const application = "var/db/baetyl/application.yml"

// dataDirs are the folders of a prefix that belong to baetyl alone.
var dataDirs = []string{"etc/baetyl", "var/db/baetyl", "var/log/baetyl", "var/run/baetyl"}

// tree installs the files under etc and var of an example. A missing file is written, one that is as it was installed
// is replaced by a newer sample, one that the user changed is kept, and named.
func tree(args []string, out io.Writer) error {
	args, err := positional(args, "example dir", "prefix")
	if err != nil {
		return err
	}
	source, prefix := args[0], args[1]
	known, err := readManifest(prefix)
	if err != nil {
		return err
	}
	for _, top := range []string{"etc", "var"} {
		err := walk(filepath.Join(source, top), top, func(from, name string, _ fs.FileInfo) error {
			data, err := os.ReadFile(from)
			if err != nil {
				return err
			}
			kept, err := installFile(filepath.Join(prefix, name), data, known[name])
			if err != nil {
				return err
			}
			if kept {
				fmt.Fprintf(out, "    kept %s: it was changed; the sample is %s\n", name, from)
				return tellOpen(filepath.Join(prefix, name), name, out)
			}
			known[name] = digest(data)
			return nil
		})
		if err != nil {
			return fmt.Errorf("install %s: %w", top, err)
		}
	}
	return writeManifest(prefix, known)
}

// installFile writes data to path unless the user changed what is there; installed is the digest that an install left.
// What is replaced keeps its owner and its mode, but nobody else may read a secret.
func installFile(path string, data []byte, installed string) (kept bool, err error) {
	mode, owner := fs.FileMode(0o644), file.Owner{UID: -1, GID: -1}
	closed := secret(data) || strings.HasSuffix(path, application)
	if closed {
		mode = 0o600
	}
	old, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return false, err
		}
		return false, file.WriteAs(path, data, mode, owner)
	}
	if err != nil {
		return false, err
	}
	if string(old) != string(data) && digest(old) != installed {
		return true, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return false, err
	}
	was := info.Mode().Perm()
	if mode = was; closed {
		mode &^= 0o007 // a group may have been given to it: that of its service
	}
	if string(old) == string(data) && mode == was {
		return false, nil
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		owner = file.Owner{UID: int(st.Uid), GID: int(st.Gid)}
	}
	return false, file.WriteAs(path, data, mode, owner)
}

// secretKey is a key of YAML whose value nobody else may read.
var secretKey = regexp.MustCompile(`(?mi)^[^#\n]*(password|secret|token)['"]?\s*:`)

// secret tells whether nobody but the owner may read a configuration.
func secret(data []byte) bool { return secretKey.Match(data) }

// tellOpen says that others can read the secrets in a file of the user's, which is left as it is.
func tellOpen(path, name string, out io.Writer) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err == nil && secret(data) && info.Mode().Perm()&0o004 != 0 {
		fmt.Fprintf(out, "    everybody on this machine can read the passwords in %s: chmod o= %s\n", name, path)
	}
	return err
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func readManifest(prefix string) (map[string]string, error) {
	data, err := os.ReadFile(filepath.Join(prefix, manifestPath))
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]string{}, nil
	}
	if err != nil {
		return nil, err
	}
	return parseManifest(string(data))
}

// parseManifest reads the lines of a manifest. A path that leaves the prefix is an error, since remove deletes what
// it reads.
func parseManifest(text string) (map[string]string, error) {
	known := map[string]string{}
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if line == "" {
			continue
		}
		sum, name, ok := strings.Cut(line, "  ")
		if !ok || !filepath.IsLocal(name) {
			return nil, fmt.Errorf("%s line %d: expected \"<sha256>  <path>\", got %q", manifestPath, i+1, line)
		}
		known[name] = sum
	}
	return known, nil
}

func writeManifest(prefix string, known map[string]string) error {
	names := make([]string, 0, len(known))
	for name := range known {
		names = append(names, name)
	}
	sort.Strings(names)
	var b strings.Builder
	for _, name := range names {
		fmt.Fprintf(&b, "%s  %s\n", known[name], name)
	}
	path := filepath.Join(prefix, manifestPath)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return file.WriteAtomic(path, []byte(b.String()), 0o644)
}

// remove takes the binary, the packages, the test certificates and the unchanged files of the example away. Data,
// logs and changed files stay and are named, unless purge.
func remove(args []string, out io.Writer) error {
	fset := flag.NewFlagSet("remove", flag.ContinueOnError)
	purge := fset.Bool("purge", false, "delete data, logs and changed configuration too")
	args, err := flags(fset, args)
	if err != nil {
		return err
	}
	if len(args) == 0 {
		return errors.New("expected a prefix and the names of the modules")
	}
	prefix, modules := args[0], args[1:]
	known, err := readManifest(prefix)
	if err != nil {
		return err
	}
	errs := []error{removeFile(filepath.Join(prefix, "bin/baetyl"))}
	for _, m := range modules {
		errs = append(errs, os.RemoveAll(filepath.Join(prefix, "var/db/baetyl", m)))
	}
	for name, sum := range known {
		path := filepath.Join(prefix, name)
		if data, err := os.ReadFile(path); err == nil && digest(data) == sum {
			errs = append(errs, removeFile(path))
		}
	}
	errs = append(errs, removeCerts(filepath.Join(prefix, testCerts)), removeFile(filepath.Join(prefix, manifestPath)))
	if *purge {
		for _, d := range dataDirs {
			errs = append(errs, os.RemoveAll(filepath.Join(prefix, d)))
		}
	}
	for _, d := range emptyAfter(prefix) {
		errs = append(errs, removeEmpty(filepath.Join(prefix, d)))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove from %s: %w", prefix, err)
	}
	for _, d := range dataDirs {
		if _, err := os.Stat(filepath.Join(prefix, d)); err == nil {
			fmt.Fprintf(out, "    kept %s: your data (PURGE=1 deletes it)\n", filepath.Join(prefix, d))
		}
	}
	return nil
}

// emptyAfter lists the folders to remove where nothing is left in them. Of /usr and /usr/local only our own: an empty
// /usr/local/etc belongs to the system.
func emptyAfter(prefix string) []string {
	if strings.HasPrefix(prefix, "/usr") {
		return dataDirs
	}
	return []string{"bin", "etc", "var"}
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// removeEmpty removes the folders under dir that hold nothing, and dir itself. A folder that is not empty stays:
// rmdir decides.
func removeEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeEmpty(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		return err
	}
	return os.Remove(dir)
}
