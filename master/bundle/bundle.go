// Package bundle collects what somebody needs who helps from afar, in one file without secrets.
//
//	items: configuration, application, state, logs, facts of the host ─► learn secrets ─► clean each ─► tar.gz, manifest
//
// It promises that a secret which any of the files has at its place is in none of them (utils/redact), that a source
// which cannot be read, or never answers, costs only itself, and that the file has at most maxBytes before it is
// compressed, with the newest logs. It works without a master.
package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os/exec"
	"runtime"
	"strings"
	"time"
	"unicode"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/redact"
)

// Limits of a bundle.
const (
	maxBytes    = 32 << 20        // of all files
	maxItem     = 4 << 20         // of one file; of a longer log, its end
	maxFiles    = 2000            // files
	readTimeout = 5 * time.Second // for one source
	chunk       = 1 << 20         // bytes that are cleaned at once
)

// Options say what is collected.
type Options struct {
	Workdir  string // absolute
	Config   string // path of conf.yml
	LogFile  string // of the master; empty: none
	OTALog   string // of updates
	Version  string
	Revision string
	Mode     string

	Application *app.Config
	Examination masterapi.Examination
	Inspect     *masterapi.Inspect // nil: no master runs
	Events      []masterapi.Event  // that it remembers
}

// Manifest is the last entry: an archive without it has been cut off.
type Manifest struct {
	Made     time.Time `json:"made"`
	Version  string    `json:"version"`
	Revision string    `json:"revision,omitempty"`
	Platform string    `json:"platform"`
	Mode     string    `json:"mode"`
	Files    []File    `json:"files"`
	Redacted int       `json:"redacted"`           // places at which something was taken out
	Partly   bool      `json:"partly,omitempty"`   // there were more secrets than are looked for outside of their places
	LeftOut  int       `json:"left_out,omitempty"` // files for which there was no room: the oldest logs
}

// File is one file of a bundle.
type File struct {
	Name     string `json:"name"`
	From     string `json:"from"`
	Bytes    int    `json:"bytes"`
	Of       int64  `json:"of,omitempty"`       // bytes of the source, of which this is the end
	Redacted int    `json:"redacted,omitempty"` // places at which *** stands for a secret
	Error    string `json:"error,omitempty"`    // why there is nothing, or not all
}

const manifestName = "manifest.json"

// item is a source.
type item struct {
	name       string // in the bundle
	from       string // for people
	structured bool   // a file of configuration
	read       func(ctx context.Context) (data []byte, of int64, err error)
}

// get reads the source; one that never answers is left alone after a while.
func (i item) get(ctx context.Context) (data []byte, of int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	type result struct {
		data []byte
		of   int64
		err  error
	}
	done := make(chan result, 1)
	go func() {
		data, of, err := i.read(ctx)
		done <- result{data, of, err}
	}()
	select {
	case r := <-done:
		return r.data, r.of, r.err
	case <-ctx.Done():
		return nil, 0, fmt.Errorf("it does not answer within %s", readTimeout)
	}
}

// Write writes a bundle to w. It fails only when w does, or ctx ends.
func Write(ctx context.Context, w io.Writer, o Options) (Manifest, error) {
	m := Manifest{Made: time.Now().UTC(), Version: o.Version, Revision: o.Revision, Mode: o.Mode,
		Platform: runtime.GOOS + "/" + runtime.GOARCH}
	items, secrets := sources(o)
	r := redact.New()
	for _, s := range secrets {
		r.Add(s)
	}
	for _, i := range items {
		if err := ctx.Err(); err != nil {
			return m, err
		}
		data, _, err := i.get(ctx)
		if err == nil {
			pieces(data, func(part []byte) { r.Learn(part, i.structured) })
		}
	}
	gz := gzip.NewWriter(w)
	out := tar.NewWriter(gz)
	total := 0
	for n, i := range items {
		if err := ctx.Err(); err != nil {
			return m, err
		}
		if total >= maxBytes || n >= maxFiles {
			m.LeftOut = len(items) - n
			break
		}
		f, data, there := collect(ctx, i, r, maxBytes-total)
		if !there {
			continue
		}
		total += len(data)
		m.Redacted += f.Redacted
		m.Files = append(m.Files, f)
		if err := add(out, f.Name, data, m.Made); err != nil {
			return m, err
		}
	}
	m.Partly = r.Full()
	data, err := json.MarshalIndent(m, "", "  ")
	if err == nil {
		err = add(out, manifestName, data, m.Made)
	}
	return m, errors.Join(err, out.Close(), gz.Close())
}

// collect reads and cleans an item; room is how many bytes it may have. What is not on this device is no item.
func collect(ctx context.Context, i item, r *redact.Redactor, room int) (f File, out []byte, there bool) {
	f = File{Name: printable(i.name), From: printable(i.from)}
	data, of, err := i.get(ctx)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, exec.ErrNotFound) {
		return f, nil, false
	}
	if err != nil {
		clean, n := r.Clean([]byte(err.Error()))
		f.Error, f.Redacted = printable(string(clean)), n
	}
	pieces(data, func(part []byte) {
		clean, n := r.Clean(part)
		out = append(out, clean...)
		f.Redacted += n
	})
	if len(out) > room {
		out = out[len(out)-room:]
	}
	if of > int64(len(data)) {
		f.Of = of
	}
	f.Bytes = len(out)
	return f, out, true
}

const begin, end = "-----BEGIN ", "-----END "

// pieces cuts text at ends of lines. A private key that goes on in the next piece begins there again, so that the rest
// of it is known for what it is.
func pieces(text []byte, f func([]byte)) {
	inside := false
	for len(text) > 0 {
		n := min(chunk, len(text))
		if n < len(text) {
			if i := bytes.LastIndexByte(text[:n], '\n'); i >= 0 {
				n = i + 1
			}
		}
		part := text[:n]
		if inside {
			part = append([]byte(begin+"PRIVATE KEY-----\n"), part...)
		}
		if open := bytes.LastIndex(part, []byte(begin)); open >= 0 {
			last := string(part[open:])
			inside = !strings.Contains(last, end) && strings.Contains(last, "PRIVATE KEY")
		} else {
			inside = false
		}
		f(part)
		text = text[n:]
	}
}

// printable is a name without what moves a cursor.
func printable(text string) string {
	return strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return '_'
		}
		return c
	}, text)
}

func add(out *tar.Writer, name string, data []byte, at time.Time) error {
	h := &tar.Header{
		Name: name, Typeflag: tar.TypeReg, Size: int64(len(data)), Mode: 0o600, ModTime: at.Truncate(time.Second),
		Format: tar.FormatPAX,
	}
	if err := out.WriteHeader(h); err != nil {
		return err
	}
	_, err := out.Write(data)
	return err
}

// Verify reads a bundle to its end, and returns its manifest: it is whole.
func Verify(r io.Reader) (Manifest, error) {
	errCut := errors.New("the bundle is cut off: its manifest, which is the last of it, is missing; collect it again")
	gz, err := gzip.NewReader(r)
	if err != nil {
		return Manifest{}, fmt.Errorf("it is no bundle, which is a tar.gz: %w", err)
	}
	in := tar.NewReader(gz)
	for {
		h, err := in.Next()
		if err != nil {
			return Manifest{}, errCut
		}
		if h.Name != manifestName {
			continue
		}
		var m Manifest
		data, err := io.ReadAll(io.LimitReader(in, maxBytes))
		if err == nil {
			err = json.Unmarshal(data, &m)
		}
		if err != nil {
			return Manifest{}, errCut
		}
		if _, err := io.Copy(io.Discard, gz); err != nil {
			return Manifest{}, errCut
		}
		return m, nil
	}
}
