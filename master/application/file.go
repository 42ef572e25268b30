package application

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"gopkg.in/yaml.v2"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/file"
)

// errEmpty is why a file without a value is no application. An application without services says so.
var errEmpty = errors.New("has no content; most likely it was cut off. An application without services is " +
	"`services: []`, or no file at all")

// Parse reads an application out of the file called name, as app.Parse does. Nothing is an error here.
func Parse(name string, data []byte) (*app.Config, error) {
	if isEmpty(data) {
		return nil, fmt.Errorf("%s: %w", name, errEmpty)
	}
	return app.Parse(name, data)
}

// isEmpty tells whether data holds no value: only white space, comments, marks of a document, or the zero bytes that
// a power cut leaves of a file which was not synced.
func isEmpty(data []byte) (empty bool) {
	defer func() {
		if recover() != nil { // yaml.v2 panics on a few malformed inputs, which are not nothing
			empty = false
		}
	}()
	data = bytes.Trim(data, "\x00\t ")
	var value any
	return yaml.Unmarshal(data, &value) == nil && value == nil
}

// Read reads the application at path. A missing file is an empty application (Baetyl Design), without data; what is
// there and is no application is an error, and then c is nil. It changes nothing, and waits for no pipe.
func Read(d file.Disk, path string) (c *app.Config, data []byte, err error) {
	if _, err := d.Or().Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return &app.Config{}, nil, nil
	}
	info, err := d.Or().Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("%s: is a link to nothing; mend the link, or remove it", path)
	case err == nil && info.IsDir():
		err = fmt.Errorf("%s: is a folder; put a file in its place", path)
	case err == nil && !info.Mode().IsRegular():
		err = fmt.Errorf("%s: is not a file but %s; put a file in its place", path, info.Mode())
	case err == nil:
		data, err = d.Or().ReadHead(path, conf.MaxSize+1)
	}
	if err == nil && len(data) > conf.MaxSize {
		err = fmt.Errorf("%s: larger than %d bytes; most likely it is another file", path, conf.MaxSize)
	}
	if err == nil {
		c, err = Parse(path, data)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("load application: %w", err)
	}
	return c, data, nil
}

// isCutOff tells whether data, which c was read from, is the beginning of last and no more, so that what is left means
// something else: it ends within a line, or has lost every service. Whoever edits a file ends its last line.
func isCutOff(c *app.Config, data, last []byte) bool {
	if len(data) >= len(last) || !bytes.HasPrefix(last, data) || len(bytes.TrimSpace(last[len(data):])) == 0 {
		return false
	}
	within := data[len(data)-1] != '\n' && last[len(data)] != '\n' && last[len(data)] != '\r'
	return within || len(c.Services) == 0
}
