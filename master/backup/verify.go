package backup

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// ErrCut is the error of an archive whose end is missing.
var ErrCut = errors.New("it is cut off: its manifest, which is the last of it, is missing; make or copy it again")

// Unfinished is why whoever made an archive could not finish it, as the archive says.
type Unfinished struct{ why string }

func (u Unfinished) Error() string { return u.why }

// Verify reads an archive to its end and returns its manifest: everything in that is there, as it was. It writes
// nothing, and needs no more memory than the list of entries.
func Verify(r io.Reader) (Manifest, error) { return scan(r, nil) }

// found is a file of an archive, the last of its name.
type found struct {
	size int64
	sum  string
}

// scan reads an archive. each is called with every file, to read it; nil: it is only compared.
func scan(r io.Reader, each func(name string, size int64, content io.Reader) error) (Manifest, error) {
	gz, err := gzip.NewReader(r)
	if err != nil {
		return Manifest{}, fmt.Errorf("it is not a backup, which is a tar.gz: %w", err)
	}
	in := tar.NewReader(gz)
	if _, err := readHead(in); err != nil {
		return Manifest{}, err
	}
	files, names := map[string]found{}, 0
	for n := 0; ; n++ {
		h, err := in.Next()
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return Manifest{}, ErrCut
		case err != nil:
			return Manifest{}, fmt.Errorf("it is damaged: %w", err)
		case n > maxEntries*(maxPasses+maxTries):
			return Manifest{}, fmt.Errorf("it has more than %d entries", n)
		case h.Typeflag != tar.TypeReg:
			return Manifest{}, fmt.Errorf("entry %.200q: is no file; a backup has files alone", h.Name)
		case h.Name == manifestName:
			return finish(in, gz, h, files)
		case h.Name == errorName:
			return Manifest{}, reason(in)
		}
		name, ok := strings.CutPrefix(h.Name, filesDir)
		if !ok {
			return Manifest{}, fmt.Errorf("entry %.200q: is none that a backup has", h.Name)
		}
		if err := checkPath(name); err != nil {
			return Manifest{}, fmt.Errorf("entry %.200q: %w", h.Name, err)
		}
		if names += len(name); names > maxNames {
			return Manifest{}, fmt.Errorf("its names have more than %d bytes", maxNames)
		}
		sum := sha256.New()
		content := io.TeeReader(in, sum)
		if each != nil {
			if err := each(name, h.Size, content); err != nil {
				return Manifest{}, err
			}
		}
		if _, err := io.Copy(io.Discard, content); err != nil {
			return Manifest{}, cutOr(err)
		}
		files[name] = found{h.Size, hex.EncodeToString(sum.Sum(nil))}
	}
}

// ReadHead reads where a backup is from, out of its beginning.
func ReadHead(r io.Reader) (Head, error) {
	gz, err := gzip.NewReader(r)
	if err != nil {
		return Head{}, fmt.Errorf("it is not a backup, which is a tar.gz: %w", err)
	}
	return readHead(tar.NewReader(gz))
}

func readHead(in *tar.Reader) (Head, error) {
	h, err := in.Next()
	if err != nil {
		return Head{}, cutOr(err)
	}
	if h.Name != headName || h.Typeflag != tar.TypeReg || h.Size > maxHead {
		return Head{}, fmt.Errorf("it is not a backup: it begins with %.200q, and not with %s", h.Name, headName)
	}
	data, err := io.ReadAll(in)
	if err != nil {
		return Head{}, cutOr(err)
	}
	return parseHead(data)
}

// finish reads the manifest and what follows it, and compares.
func finish(in *tar.Reader, gz io.Reader, h *tar.Header, files map[string]found) (Manifest, error) {
	if h.Size > maxManifest {
		return Manifest{}, fmt.Errorf("its manifest has %d bytes, allowed %d", h.Size, maxManifest)
	}
	data, err := io.ReadAll(in)
	if err != nil {
		return Manifest{}, cutOr(err)
	}
	m, err := parseManifest(data)
	if err != nil {
		return Manifest{}, err
	}
	for _, e := range m.Entries {
		if e.Kind != KindFile {
			continue
		}
		f, ok := files[e.Path]
		switch {
		case !ok:
			return Manifest{}, fmt.Errorf("it is damaged: %s is not in it", e.Path)
		case f.size != e.Size || f.sum != e.SHA256:
			return Manifest{}, fmt.Errorf("it is damaged: %s is not as it was", e.Path)
		}
	}
	if _, err := in.Next(); !errors.Is(err, io.EOF) {
		return Manifest{}, fmt.Errorf("it is damaged: something follows the manifest (%w)", cutOr(err))
	}
	if _, err := io.Copy(io.Discard, gz); err != nil { // the checksum of all
		return Manifest{}, cutOr(err)
	}
	return m, nil
}

// cutOr is ErrCut for an end that comes too early.
func cutOr(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrCut
	}
	return fmt.Errorf("it is damaged: %w", err)
}

// reason is why whoever made the archive could not finish it.
func reason(in io.Reader) error {
	var e masterapi.Error
	data, err := io.ReadAll(io.LimitReader(in, maxHead))
	if err == nil {
		err = json.Unmarshal(data, &e)
	}
	if err != nil || e.Message == "" {
		return ErrCut
	}
	return Unfinished{e.Message}
}
