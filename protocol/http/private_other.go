//go:build !linux

package http

import (
	"context"
	"io/fs"
	"net"
	"os"
	"path/filepath"
)

// dialPrivate has no way to connect to what it has looked at: services have no users of their own here.
func dialPrivate(ctx context.Context, d *net.Dialer, dir, name string) (net.Conn, error) {
	path := filepath.Join(dir, name)
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return nil, &os.PathError{Op: "connect to", Path: name, Err: errNoSocket}
	}
	return dialUnix(ctx, d, path)
}
