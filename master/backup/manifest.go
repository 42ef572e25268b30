package backup

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Format is the version of the form of a backup. A program reads its own and older ones.
const Format = 1

// Names in the archive. What the device has lies below filesDir.
const (
	headName     = "baetyl-backup.json"
	manifestName = "manifest.json"
	errorName    = "error.json" // in place of the manifest: why there is none
	filesDir     = "files/"
)

// Limits of what is read of an archive before it has proved itself.
const (
	maxHead     = 64 << 10
	maxManifest = 256 << 20
	maxNames    = 256 << 20 // bytes of all paths
	maxPath     = 4095
)

// Kinds of entries.
const (
	KindFolder = "folder"
	KindFile   = "file"
	KindLink   = "link"
)

// Head says where a backup is from. It is the first entry, and part of the manifest.
type Head struct {
	Format   int       `json:"format"`
	Made     time.Time `json:"made"`
	Version  string    `json:"version"` // of the program
	Revision string    `json:"revision,omitempty"`
	Platform string    `json:"platform"` // os/arch
	Host     string    `json:"host"`     // its name
	HostID   string    `json:"host_id,omitempty"`
	Mode     string    `json:"mode"`
	Workdir  string    `json:"workdir"`
}

// Manifest is the last entry: an archive without it has been cut off. What is in the archive and not in the manifest
// does not count, and of entries with the same name the last one does.
type Manifest struct {
	Head
	Live    bool          `json:"live"`             // services ran
	Frozen  time.Duration `json:"frozen,omitempty"` // nanoseconds that services were frozen
	Roots   []string      `json:"roots"`            // what a restore replaces, relative to the working directory
	Entries []Entry       `json:"entries"`          // by path; a folder before what is in it
	LeftOut []LeftOut     `json:"left_out,omitempty"`
}

// Entry is a file, a folder or a link.
type Entry struct {
	Path   string    `json:"path"` // relative to the working directory, with slashes
	Kind   string    `json:"kind"`
	Mode   uint32    `json:"mode"` // permission bits, with setuid, setgid and sticky as in Unix
	Time   time.Time `json:"time"` // of the last change
	UID    int       `json:"uid"`
	GID    int       `json:"gid"`
	User   string    `json:"user,omitempty"` // name of UID, where the host has one
	Group  string    `json:"group,omitempty"`
	Size   int64     `json:"size,omitempty"`
	SHA256 string    `json:"sha256,omitempty"` // of a file, in hex
	Target string    `json:"target,omitempty"` // of a link, as it is written
}

// LeftOut is what is not in the backup.
type LeftOut struct {
	Path string `json:"path"`
	Why  string `json:"why"`
}

// Bytes is the size of all files together.
func (m Manifest) Bytes() (n int64) {
	for _, e := range m.Entries {
		n += e.Size
	}
	return n
}

// Files counts the files.
func (m Manifest) Files() (n int) {
	for _, e := range m.Entries {
		if e.Kind == KindFile {
			n++
		}
	}
	return n
}

// parseHead reads and checks the first entry.
func parseHead(data []byte) (h Head, err error) {
	if err := json.Unmarshal(data, &h); err != nil {
		return h, fmt.Errorf("read its head: %w", err)
	}
	return h, h.check()
}

func (h Head) check() error {
	switch {
	case h.Format < 1:
		return errors.New("its head has no format; most likely it is another file")
	case h.Format > Format:
		return fmt.Errorf("it has format %d, made by version %.40q, and this program reads up to %d; install that version",
			h.Format, h.Version, Format)
	}
	return nil
}

// parseManifest reads and checks the last entry: every path stays in its root, nothing is there twice or below what is
// no folder.
func parseManifest(data []byte) (m Manifest, err error) {
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&m); err != nil {
		return m, fmt.Errorf("read its manifest: %w", err)
	}
	if err := m.check(); err != nil {
		return Manifest{}, err
	}
	return m, m.checkEntries()
}

func (m Manifest) checkEntries() error {
	for _, r := range m.Roots {
		if err := checkPath(r); err != nil {
			return fmt.Errorf("root %.200q: %w", r, err)
		}
		if within("var/run", r) || within("bin", r) || !slices.Contains(ours, r) && slices.Contains(mastersDirs, r) {
			return fmt.Errorf("root %.200q: is a folder that no backup has", r)
		}
	}
	if len(m.Entries) > maxEntries {
		return fmt.Errorf("it has %d entries, allowed %d", len(m.Entries), maxEntries)
	}
	kinds := make(map[string]string, len(m.Entries))
	for i, e := range m.Entries {
		if err := m.checkEntry(e, kinds); err != nil {
			return fmt.Errorf("entry %d, %.200q: %w", i+1, e.Path, err)
		}
		kinds[e.Path] = e.Kind
	}
	return nil
}

func (m Manifest) checkEntry(e Entry, kinds map[string]string) error {
	if err := checkPath(e.Path); err != nil {
		return err
	}
	switch {
	case !slices.ContainsFunc(m.Roots, func(r string) bool { return within(r, e.Path) }):
		return errors.New("lies in none of the roots")
	case kinds[e.Path] != "":
		return errors.New("is there twice")
	case slices.Contains(strings.Split(e.Path, "/"), stageDir):
		return fmt.Errorf("has the name %s, which a restore uses", stageDir)
	case e.Mode&^0o7777 != 0:
		return fmt.Errorf("has mode %o", e.Mode)
	case e.UID < 0 || e.GID < 0:
		return errors.New("has an owner below 0")
	case e.Size < 0 || e.Kind != KindFile && e.Size != 0:
		return fmt.Errorf("has size %d", e.Size)
	}
	switch e.Kind {
	case KindFolder, KindFile:
		if e.Target != "" {
			return errors.New("has a target and is no link")
		}
	case KindLink:
		if e.Target == "" || len(e.Target) > maxPath || strings.ContainsRune(e.Target, 0) {
			return errors.New("is a link to nothing that could be a path")
		}
	default:
		return fmt.Errorf("has kind %.40q", e.Kind)
	}
	if above := path.Dir(e.Path); !slices.Contains(m.Roots, e.Path) && kinds[above] != KindFolder {
		return errors.New("lies below nothing that is a folder")
	}
	return nil
}

// ours are the folders of the master that a backup may have.
var ours = []string{confDir, dataDir, logDir}

// checkPath refuses what is not a clean path below the working directory.
func checkPath(p string) error {
	switch {
	case p == "" || p == ".":
		return errors.New("has no name")
	case len(p) > maxPath:
		return fmt.Errorf("has %d bytes, allowed %d", len(p), maxPath)
	case strings.ContainsRune(p, 0) || !utf8.ValidString(p):
		return errors.New("has a NUL byte, or is not UTF-8")
	case path.IsAbs(p) || p != path.Clean(p) || p == ".." || strings.HasPrefix(p, "../"):
		return errors.New("leaves the working directory")
	}
	return nil
}
