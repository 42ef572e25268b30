// Package state keeps a small file with the state of a program: one JSON value, which survives a power cut, is checked
// when it is read, and is read by later versions.
//
//	Save ─► JSON, version, SHA-256 ─► temporary file ─► fsync ─► rename ─► fsync of the folder
//	Load ─► nothing there ───────────────────────────► zero value
//	     ─► whole ──────────────────────────────────► value
//	     ─► of an older version, or without one ────► value, by Old
//	     ─► of a newer version ─────────────────────► ErrNewer, the file is left alone, also by Save
//	     ─► damaged ─► <file>.damaged-<n>, log ─────► zero value and ErrDamaged
//	     ─► the disk does not read it ──────────────► error, the file is left alone
//
// The first line of a file holds version and checksum. It is JSON as the rest, so that programs from before there was
// such a line read the file too: they see an unknown key of an object, or an element of a list in which every key that
// they know is empty. Keys may be added to a value without a new version. A new version is for a file that an older
// program must not read or replace.
package state

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"unicode/utf8"

	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
)

// Errors of Load and Save; errors.Is decides.
var (
	ErrDamaged = errors.New("file is damaged")
	ErrNewer   = errors.New("file is of a newer version")
)

// MaxSize is the largest file, in bytes. A larger one is damaged.
const MaxSize = 16 << 20

// File is a state file. T is what it holds; it becomes a JSON object or list. The caller makes sure that one goroutine
// at a time uses a file.
type File[T any] struct {
	Path    string
	What    string      // it is, for errors and the log: "record of the update"
	Then    string      // what happens without it, for the log: "the update counts as failed"
	Version int         // of its form; from 1
	Perm    fs.FileMode // 0: 0600
	Disk    file.Disk   // without one: file.OS
	Log     log.Logger

	// Old reads the form of an older version, 0 for a file from before there were versions. nil: the form is the same.
	Old func(version int, data []byte) (T, error)
}

// Load returns what the file holds, the zero value if there is none. With ErrDamaged the file has been moved aside and
// logged, the value is zero, and the caller goes on as Then says. With any other error the file stays as it is.
func (f File[T]) Load() (T, error) {
	v, damage, err := f.read()
	if damage != nil {
		err = f.setAside(damage)
	}
	return v, err
}

// Peek is Load for who must change nothing: a damaged file stays where it is, and is not logged.
func (f File[T]) Peek() (T, error) {
	v, damage, err := f.read()
	if damage != nil {
		err = fmt.Errorf("%s %s: %w: %w", f.What, f.Path, ErrDamaged, damage)
	}
	return v, err
}

// read returns what the file holds. damage says why it holds nothing of use.
func (f File[T]) read() (v T, damage, err error) {
	var zero T
	info, err := f.Disk.Or().Stat(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return zero, nil, nil
	}
	var data []byte
	if err == nil && info.Mode().IsRegular() {
		data, err = f.Disk.Or().ReadHead(f.Path, MaxSize+1)
	}
	if err != nil {
		return zero, nil, fmt.Errorf("read %s: %w", f.What, err)
	}
	if !info.Mode().IsRegular() { // a pipe would have been waited for
		return zero, fmt.Errorf("it is not a file but %s", info.Mode()), nil
	}
	v, err = f.decode(data)
	switch {
	case errors.Is(err, ErrNewer):
		return zero, nil, err
	case err != nil:
		return zero, err, nil
	}
	return v, nil, nil
}

// Save replaces the file by v, and makes the folder of the file if there is none.
func (f File[T]) Save(v T) error {
	data, err := f.encode(v)
	var there bool
	if err == nil {
		there, err = f.replaceable()
	}
	if err == nil && !there {
		err = f.Disk.Or().MakeDir(filepath.Dir(f.Path), 0o755)
	}
	if err == nil {
		perm := f.Perm
		if perm == 0 {
			perm = 0o600
		}
		err = f.Disk.Or().WriteAtomic(f.Path, data, perm)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", f.What, err)
	}
	return nil
}

// Remove removes the file, if there is one, durably.
func (f File[T]) Remove() error {
	d := f.Disk.Or()
	there, err := f.replaceable()
	if err == nil && there {
		err = d.Remove(f.Path)
	}
	if err == nil { // also without a file: one that was removed may come back while that is not durable
		err = d.SyncDir(filepath.Dir(f.Path))
	}
	if err != nil && (there || !errors.Is(err, fs.ErrNotExist)) { // or there is no folder either
		return fmt.Errorf("remove %s: %w", f.What, err)
	}
	return nil
}

// Tidy removes what an interrupted Save has left beside the file. No Save may run meanwhile.
func (f File[T]) Tidy() error {
	if err := f.Disk.Or().Tidy(f.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("tidy up beside %s: %w", f.What, err)
	}
	return nil
}

// replaceable tells whether there is a file, and refuses to touch one of a newer version.
func (f File[T]) replaceable() (there bool, err error) {
	data, err := f.Disk.Or().ReadHead(f.Path, maxHead)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if h, _, ok := splitHead(data); ok && h.version > f.Version {
		return true, f.newer(h.version)
	}
	return true, nil
}

// head is the first line of a file: {"statefile":{"version":1,"sha256":"…"} or the same as the first element of a
// list. The checksum is of version and what follows the line. Every version keeps to this.
type head struct {
	version int
	sum     string
}

const maxHead = 256

var (
	headLine = regexp.MustCompile(
		`^(\[?)[{]"statefile":[{]"version":([1-9][0-9]{0,8}),"sha256":"([0-9a-f]{64})"[}]([}]?)\n`,
	)
	// traces of a first line that is damaged, which files from before there was one do not have
	headTrace = regexp.MustCompile(`"statefile"|[{]"version":[0-9]+,"sha256":"`)
)

// splitHead returns the head, and what follows it.
func splitHead(data []byte) (h head, rest []byte, ok bool) {
	m := headLine.FindSubmatch(data)
	if m == nil || len(m[1]) != len(m[4]) {
		return head{}, nil, false
	}
	h.version, _ = strconv.Atoi(string(m[2])) // nine digits
	h.sum = string(m[3])
	return h, data[len(m[0]):], true
}

func sum(version int, rest []byte) string {
	s := sha256.Sum256(fmt.Appendf(nil, "%d\n%s", version, rest))
	return hex.EncodeToString(s[:])
}

func (f File[T]) encode(v T) ([]byte, error) {
	text, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return nil, err
	}
	if len(text) == 0 || text[0] != '{' && text[0] != '[' {
		return nil, fmt.Errorf("%s is neither an object nor a list: %.20q", f.What, text) // a nil slice or map
	}
	open, end := "{", ""
	if text[0] == '[' {
		open, end = "[{", "}"
	}
	rest := bytes.TrimLeft(text[1:], "\n ")
	if len(rest) > 1 { // not just the end
		rest = append([]byte(", "), rest...)
	}
	rest = append(rest, '\n')
	line := fmt.Sprintf(`%s"statefile":{"version":%d,"sha256":"%s"}%s`+"\n", open, f.Version, sum(f.Version, rest), end)
	if len(line)+len(rest) > MaxSize {
		return nil, fmt.Errorf("%s is larger than %d bytes", f.Path, MaxSize)
	}
	return append([]byte(line), rest...), nil
}

// decode returns what a file holds; an error that is not ErrNewer says how it is damaged.
func (f File[T]) decode(data []byte) (v T, err error) {
	switch {
	case len(data) == 0:
		return v, errors.New("it is empty")
	case len(data) > MaxSize:
		return v, fmt.Errorf("it is larger than %d bytes", MaxSize)
	case !utf8.Valid(data):
		return v, errors.New("it is not UTF-8")
	}
	h, rest, ok := splitHead(data)
	switch {
	case ok && sum(h.version, rest) != h.sum:
		return v, errors.New("its checksum is wrong")
	case ok && h.version > f.Version:
		return v, f.newer(h.version)
	case ok:
		data = append(data[:1:1], bytes.TrimPrefix(rest, []byte(","))...)
	case headTrace.Match(data[:min(len(data), maxHead)]):
		return v, errors.New("its first line is damaged")
	}
	if h.version < f.Version && f.Old != nil {
		v, err = f.Old(h.version, data)
	} else {
		err = json.Unmarshal(data, &v)
	}
	if err != nil {
		var zero T // not half of it
		return zero, err
	}
	return v, nil
}

func (f File[T]) newer(version int) error {
	return fmt.Errorf(
		"%s: %w: %s has version %d, this program reads up to %d; install the program that wrote it, or move the file away",
		f.What,
		ErrNewer,
		f.Path,
		version,
		f.Version,
	)
}
