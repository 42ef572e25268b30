package application

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/file"
)

// Read reads the application at path. A missing file is an empty application (Baetyl Design), without data; what is
// there and is no application is an error, and then c is nil. It changes nothing, and waits for no pipe.
func Read(d file.Disk, path string) (c *app.Config, data []byte, err error) {
	info, err := d.Or().Stat(path)
	missing := errors.Is(err, fs.ErrNotExist)
	link := ""
	if missing {
		link = conf.Dangling(d.Or(), path)
	}
	switch {
	case missing && link == "":
		return &app.Config{}, nil, nil
	case missing:
		err = fmt.Errorf("%s: %s %w; mend the link, or remove it", path, link, conf.ErrDangling)
	case err == nil:
		if err = conf.Regular(info); err != nil {
			err = fmt.Errorf("%s: %w", path, err)
			break
		}
		data, err = d.Or().ReadHead(path, conf.MaxSize+1)
	}
	if err == nil && len(data) > conf.MaxSize {
		err = fmt.Errorf("%s: larger than %d bytes; most likely it is another file", path, conf.MaxSize)
	}
	if err == nil {
		c, err = app.Parse(path, data)
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
