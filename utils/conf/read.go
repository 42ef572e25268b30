package conf

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/baetyl/baetyl/utils/file"
)

// MaxSize is the largest file, in bytes, that Load reads; a larger one is refused unread.
const MaxSize = 4 << 20

// Errors of files that a caller may want to tell from others. None of them is os.ErrNotExist: what was there and is
// lost is not what was never there.
var (
	// ErrEmpty: the file has no content, not even a comment, and NonEmpty asks for one; or it has only zero bytes.
	ErrEmpty = errors.New("is empty; put the file back from a copy, remove it, or write {} if that is meant")
	// ErrDangling: the path leads through a link whose target does not exist.
	ErrDangling = errors.New("is a link to nothing")
	// ErrNotRegular: the path is a folder, a device, a FIFO or a socket.
	ErrNotRegular = errors.New("is not a regular file")
)

// Load reads the YAML file at path into out, a pointer to a struct. An error is an *Error.
func Load(path string, out any, opts ...Option) error {
	data, err := ReadFile(path)
	if err != nil {
		return err
	}
	return Parse(path, data, out, opts...)
}

// LoadOrDefault is Load, but a missing file gives what an empty one does. So does a link to nothing, with a warning:
// earlier versions took it for a missing file.
func LoadOrDefault(path string, out any, opts ...Option) error {
	err := Load(path, out, opts...)
	switch {
	case errors.Is(err, ErrDangling):
		newLoader(path, opts).warn(err.Error() + "; the defaults are used")
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return Parse(path, nil, out, opts...)
}

// ReadFile returns the content of path, at most MaxSize bytes. An error is an *Error. What is not a regular file is
// refused; nothing waits for a writer.
func ReadFile(path string) ([]byte, error) {
	f, err := open(path)
	if err != nil {
		return nil, &Error{File: path, Err: err}
	}
	defer f.Close()
	data, err := readAll(f, MaxSize, "a configuration of that size is most likely a wrong file")
	if err != nil {
		return nil, &Error{File: path, Err: err}
	}
	return data, nil
}

// open opens a regular file for reading. Its errors do not repeat the path.
func open(path string) (*os.File, error) {
	info, err := os.Stat(path) // before it is opened, which may do something to a device
	if err == nil {
		err = Regular(info)
	}
	if err != nil {
		return nil, cause(path, err)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, cause(path, err)
	}
	info, err = f.Stat()
	if err == nil {
		err = Regular(info) // again: it may be another one by now
	}
	if err != nil {
		f.Close()
		return nil, cause(path, err)
	}
	return f, nil
}

func readAll(f *os.File, most int64, why string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	switch {
	case err != nil:
		return nil, cause(f.Name(), err)
	case int64(len(data)) > most:
		return nil, fmt.Errorf("file is larger than %d bytes; %s", most, why)
	}
	return data, nil
}

// Regular tells why a file of that kind is not read: ErrNotRegular, with what it is.
func Regular(info fs.FileInfo) error {
	what := "a device"
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		return fmt.Errorf("is a folder; name a file%w", hidden{ErrNotRegular})
	case mode&fs.ModeNamedPipe != 0:
		what = "a FIFO"
	case mode&fs.ModeSocket != 0:
		what = "a socket"
	}
	return fmt.Errorf("is %s; name a regular file%w", what, hidden{ErrNotRegular})
}

// hidden is an error for errors.Is that adds nothing to a text.
type hidden struct{ error }

func (hidden) Error() string   { return "" }
func (h hidden) Unwrap() error { return h.error }

// cause drops the path that os repeats, since Error names it already.
func cause(path string, err error) error {
	pe := new(os.PathError)
	if !errors.As(err, &pe) {
		return err
	}
	op := pe.Op
	if op == "stat" {
		op = "open"
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: %w; let the user that runs this program read it", op, pe.Err)
	case errors.Is(err, fs.ErrNotExist):
		if link := Dangling(file.OS, path); link != "" {
			to, err := os.Readlink(link)
			if err != nil {
				break
			}
			if link != path {
				link += " "
			} else {
				link = ""
			}
			return fmt.Errorf("%s%w, %s; put that back, or remove the link", link, ErrDangling, to)
		}
	}
	return fmt.Errorf("%s: %w", op, pe.Err)
}

// Dangling returns the link on the way to path, where nothing is, that leads to nothing; empty: there is none.
func Dangling(d file.Disk, path string) string {
	for at := path; ; at = filepath.Dir(at) {
		info, err := d.Lstat(at)
		switch {
		case err == nil && info.Mode()&fs.ModeSymlink != 0:
			if _, err := d.Stat(at); err == nil {
				return ""
			}
			return at
		case err == nil, at == filepath.Dir(at):
			return ""
		}
	}
}
