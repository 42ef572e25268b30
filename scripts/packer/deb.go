package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// An ar archive is this line, and members: a header of 60 bytes, the content, a newline where that has an odd length.
const (
	arMagic  = "!<arch>\n"
	arHeader = 60
	arSize   = 48 // where ten digits of the length stand in a header
	arEnd    = "`\n"
)

// contents is the member of a deb with the files.
const contents = "data.tar.gz"

// shared takes folders out of a deb. nfpm puts the folders of each file into it, and dpkg removes a folder that is in
// no other package when it is empty: removing baetyl would remove /usr/local/bin of a fresh Debian, which is in no
// package.
func shared(args []string) error {
	if len(args) < 2 {
		return errors.New("expected a deb and its folders to leave out, such as /usr/local/bin")
	}
	deb, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	out, err := without(deb, args[1:])
	if err != nil {
		return fmt.Errorf("read %s: %w", args[0], err)
	}
	return os.WriteFile(args[0], out, 0o644)
}

// without returns the deb with its member contents written again.
func without(deb []byte, folders []string) ([]byte, error) {
	if !bytes.HasPrefix(deb, []byte(arMagic)) {
		return nil, errors.New("it is no deb: an ar archive begins with !<arch>")
	}
	out := bytes.NewBufferString(arMagic)
	for rest := deb[len(arMagic):]; len(rest) > 0; {
		header, content, next, err := member(rest)
		if err != nil {
			return nil, err
		}
		rest = next
		if name := strings.TrimRight(string(header[:16]), " /"); name == contents {
			if content, err = thin(content, folders); err != nil {
				return nil, fmt.Errorf("%s: %w", contents, err)
			}
		}
		fmt.Fprintf(out, "%s%-10d%s", header[:arSize], len(content), arEnd)
		out.Write(content)
		if len(content)%2 == 1 {
			out.WriteByte('\n')
		}
	}
	return out.Bytes(), nil
}

// member splits off the first one.
func member(ar []byte) (header, content, rest []byte, err error) {
	if len(ar) < arHeader || string(ar[arHeader-len(arEnd):arHeader]) != arEnd {
		return nil, nil, nil, errors.New("the header of a member is damaged")
	}
	size, err := strconv.ParseUint(strings.TrimSpace(string(ar[arSize:arSize+10])), 10, 40)
	if err != nil || size > uint64(len(ar)-arHeader) {
		return nil, nil, nil, errors.New("the length of a member is not that of its content")
	}
	header, content, rest = ar[:arHeader], ar[arHeader:arHeader+size], ar[arHeader+size:]
	if size%2 == 1 && len(rest) > 0 {
		rest = rest[1:]
	}
	return header, content, rest, nil
}

// thin copies a compressed tar without folders.
func thin(data []byte, folders []string) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	from, to := tar.NewReader(z), tar.NewWriter(w)
	for {
		h, err := from.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if h.Typeflag == tar.TypeDir && slices.Contains(folders, path.Clean("/"+h.Name)) {
			continue
		}
		if err := to.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := io.Copy(to, from); err != nil {
			return nil, err
		}
	}
	err = errors.Join(to.Close(), w.Close())
	return out.Bytes(), err
}
