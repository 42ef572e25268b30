package file

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// entry is what an archive has under a name: a folder, a file or a link.
//
//   - A name is relative, in UTF-8, and stays in the folder. Archives of DOS and Windows may write it with backslashes.
//   - A link stays in the folder, too, whatever other links it passes; it may lead to something that is not there.
//   - Of a mode only the permission bits are kept, and none to write for others than the owner. A file without any gets
//     fileMode.
//   - Nothing is there twice, and nothing lies below a file or a link. A folder may be named more than once.
//   - Files are stored or deflated, and not encrypted. There are no devices, sockets or pipes.
type entry struct {
	mode   fs.FileMode
	target string // of a link
	file   *zip.File
}

const (
	fileMode = 0o644 // of a file whose maker wrote no mode, as Python's zipfile does for text in memory
	maxLink  = 4096  // bytes of a link's target; what Linux takes
	maxHops  = 40    // links on the way of one link; what Linux takes
	maxName  = 4095  // bytes; what Linux takes
)

// tree is an archive: entries by name, with slashes. Each folder above an entry is one.
type tree map[string]entry

// names are all names, so that a folder comes before what is in it, and links last: nothing is written through one.
func (t tree) names() []string {
	rank := func(name string) int {
		if t[name].target != "" {
			return 1
		}
		return 0
	}
	return slices.SortedFunc(maps.Keys(t), func(a, b string) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
}

// readTree reads what the archive has, without the content of files. Folders that only stand in names count too.
func readTree(files []*zip.File, limit int) (tree, error) {
	t := tree{}
	for _, f := range files {
		name, err := nameOf(f)
		if err == nil {
			err = t.add(name, f)
		}
		if err != nil {
			return nil, fmt.Errorf("entry %q: %w", shortened(f.Name), err)
		}
		if len(t) > limit {
			return nil, fmt.Errorf("%w: more than %d files and folders", ErrLimit, limit)
		}
	}
	for name, e := range t {
		if e.target == "" {
			continue
		}
		if err := t.inside(name); err != nil {
			return nil, fmt.Errorf("entry %q: is a link to %q: %w", name, e.target, err)
		}
	}
	return t, nil
}

func (t tree) add(name string, f *zip.File) error {
	e := entry{mode: f.Mode(), file: f}
	if strings.HasSuffix(slashed(f), "/") {
		e.mode = fs.ModeDir // also where the mode says nothing
	}
	if name == "." {
		if e.mode.IsDir() {
			return nil // the folder itself
		}
		return errors.New("has no name")
	}
	var err error
	switch {
	case e.mode.IsDir():
	case f.Flags&(flagEncrypted|flagStrong) != 0:
		err = errors.New("is encrypted; pack it without a password")
	case f.Method != zip.Store && f.Method != zip.Deflate:
		err = fmt.Errorf("is packed with %s; pack it with deflate, or without compression", method(f.Method))
	case e.mode&fs.ModeType == fs.ModeSymlink:
		e.target, err = target(f)
	case !e.mode.IsRegular():
		err = fmt.Errorf("is neither a file, a folder nor a link (%s)", e.mode)
	case e.mode.Perm() == 0:
		e.mode = fileMode
	default:
		e.mode = e.mode.Perm() &^ 0o022
	}
	if err != nil {
		return err
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if above, there := t[dir]; there && !above.mode.IsDir() {
			return fmt.Errorf("lies below %q, which is no folder", dir)
		}
		t[dir] = entry{mode: fs.ModeDir}
	}
	if was, there := t[name]; there && !(was.mode.IsDir() && e.mode.IsDir()) {
		return errors.New("the archive has it twice; remove one of them")
	}
	t[name] = e
	return nil
}

// inside tells why the link at name does not stay in the folder. It goes the way that the kernel goes.
func (t tree) inside(name string) error {
	at, rest := path.Dir(name), []string{path.Base(name)}
	for hops := 0; len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			if at == "." {
				return errors.New("leads out of the archive")
			}
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, part)
		to := t[next].target
		if to == "" {
			at = next
			continue
		}
		if hops++; hops > maxHops {
			return errors.New("leads in a circle")
		}
		if path.IsAbs(to) {
			return errors.New("leads out of the archive")
		}
		rest = append(strings.Split(to, "/"), rest...)
	}
	return nil
}

// target reads where a link leads to.
func target(f *zip.File) (string, error) {
	in, err := f.Open()
	if err != nil {
		return "", err
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, maxLink))
	switch {
	case err != nil:
		return "", err
	case len(data) == 0 || len(data) == maxLink || strings.ContainsRune(string(data), 0):
		return "", errors.New("is a link to nothing that could be a path")
	}
	return string(data), nil
}

// Flags and makers of entries: APPNOTE.TXT of the format, 4.4.4 and 4.4.2.
const (
	flagEncrypted = 1 << 0
	flagStrong    = 1 << 6

	makerFAT  = 0
	makerNTFS = 10
	makerVFAT = 14
)

// slashed is the name of an entry with slashes. Some programs of Windows write backslashes, which the format forbids
// (APPNOTE.TXT, 4.4.17); on other systems they are letters, as in names of systemd's units.
func slashed(f *zip.File) string {
	if !ofWindows(f) || strings.Contains(f.Name, "/") {
		return f.Name
	}
	return strings.ReplaceAll(f.Name, `\`, "/")
}

func ofWindows(f *zip.File) bool {
	maker := f.CreatorVersion >> 8
	return maker == makerFAT || maker == makerNTFS || maker == makerVFAT
}

// nameOf is the name of an entry as a path below the folder.
func nameOf(f *zip.File) (string, error) {
	name := slashed(f)
	switch {
	case len(name) > maxName:
		return "", fmt.Errorf("the name has %d bytes, allowed %d", len(name), maxName)
	case strings.ContainsRune(name, 0):
		return "", errors.New("the name has a NUL byte")
	case !utf8.ValidString(name):
		return "", errors.New("the name is not in UTF-8; pack it with a program that writes names in UTF-8")
	case path.IsAbs(name), slices.Contains(strings.Split(name, "/"), ".."):
		return "", errors.New("the name leaves the folder")
	case ofWindows(f) && strings.Contains(name, `\`):
		return "", errors.New("the name has slashes and backslashes; pack it with slashes alone")
	case ofWindows(f) && len(name) > 1 && name[1] == ':':
		return "", errors.New("the name starts with a drive; pack it relative to the folder")
	}
	return path.Clean(name), nil
}

// method names a compression (APPNOTE.TXT, 4.4.5).
func method(m uint16) string {
	names := map[uint16]string{
		9: "deflate64", 12: "bzip2", 14: "lzma", 93: "zstd", 95: "xz", 98: "ppmd", 99: "encryption (AES)",
	}
	if n, ok := names[m]; ok {
		return n
	}
	return fmt.Sprintf("method %d, which is not known", m)
}

func shortened(name string) string {
	const most = 200
	if len(name) <= most {
		return name
	}
	return name[:most] + "…"
}
