// Package download brings packages from the net into a folder, one at a time.
//
//	url ─► GET, Range ─► size, free space ─► <folder>/<digest> ─► digest ─► a whole package
//	         ▲                                    │
//	         └──── connection broken or stalled ──┘ after a growing delay, or with the next start
//
// It promises that a file which Fetch returns has the digests that were asked for, that errors and the log contain no
// URL, and that a network outage delays a download but does not fail it.
//
// It does not know what a package is for, nor whether it is a zip.
package download

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/utils/backoff"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
)

// Errors of this package; errors.Is decides.
var (
	ErrDigest = errors.New("digest of the package is not the one in the event")
	ErrSpace  = errors.New("not enough free space")
)

// Downloader is a folder for one download. Its fields are set before the first Fetch and not changed.
type Downloader struct {
	Dir     string    // exists; this Downloader alone uses it
	Disk    file.Disk // where Dir lies
	Client  *http.Client
	Limit   int64         // bytes of a package, at most
	Free    uint64        // bytes that must be left on the disk
	Timeout time.Duration // time without a byte after which Fetch fails
	// tells that the cloud is unreachable: that time does not count for Timeout; nil: all time counts
	Offline      func() bool
	StallTimeout time.Duration  // time without a byte after which a connection is closed and another one made
	Retry        backoff.Policy // time between attempts, counted anew after each one that brought something
	Log          log.Logger
}

// Errors of an attempt after which another one may succeed.
var (
	errStalled = errors.New("connection stalled: no data came in time")
	errRange   = errors.New("server does not continue where the last attempt stopped")
)

// final marks an error that another attempt would end with too.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// Fetch returns the path of m's package, which is complete. It continues the part that an earlier call left, and leaves
// a part when ctx ends or no byte comes for Timeout. Other errors are ErrDigest, ErrSpace, file.ErrLimit, and statuses
// of the server that another attempt would not change. One call at a time.
func (d *Downloader) Fetch(ctx context.Context, m app.VolumeMeta) (string, error) {
	name := digestName(m)
	if err := d.forget(name); err != nil {
		return "", err
	}
	to := filepath.Join(d.Dir, name)
	have := d.length(to)
	if have > 0 && d.verify(to, m) == nil {
		return to, nil
	}
	continued, again := have > 0, false
	alive := time.Now()
	for n := 0; ; n++ {
		err := d.attempt(ctx, m.URL, to)
		if err == nil {
			if err = d.verify(to, m); err == nil {
				return to, nil
			}
			if continued && !again { // parts of two packages? once from the start
				again = true
				_ = d.Disk.Remove(to)
			} else {
				err = final{err}
			}
		}
		if errors.As(err, &final{}) {
			_ = d.Disk.Remove(to)
			return "", fmt.Errorf("download: %w", err)
		}
		got := d.length(to)
		if got > have {
			n, alive, continued = 0, time.Now(), true
		}
		have = got
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if d.Offline != nil && d.Offline() { // a failure could not be reported either
			alive = time.Now()
		}
		if err != nil && time.Since(alive) >= d.Timeout {
			return "", fmt.Errorf("download: given up after %s without a byte: %w", d.Timeout, err)
		}
		delay := d.Retry.Delay(n, rand.Float64())
		l := d.Log.WithError(err).WithField("bytes", got)
		l.Warnf("download interrupted; next attempt in %s", delay.Round(time.Millisecond))
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// attempt appends to the file at path the missing part of the package at address.
func (d *Downloader) attempt(ctx context.Context, address, path string) error {
	f, err := d.Disk.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return final{err}
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return final{err}
	}
	have := st.Size()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := time.AfterFunc(d.StallTimeout, func() { cancel(errStalled) })
	defer stall.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return final{errors.New("url is invalid")}
	}
	if have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", have))
	}
	res, err := d.Client.Do(req)
	if err != nil {
		return withoutURL(ctx, err)
	}
	defer res.Body.Close()
	if have, err = accept(res, f, have); err != nil {
		return err
	}
	limit := d.Limit
	if have+max(res.ContentLength, 0) > limit {
		return final{fmt.Errorf("%w: package is larger than %d bytes", file.ErrLimit, limit)}
	}
	if err := d.Space(uint64(max(res.ContentLength, 0))); err != nil {
		return final{err}
	}
	n, err := io.Copy(f, io.LimitReader(watched{res.Body, func() { stall.Reset(d.StallTimeout) }}, limit-have+1))
	switch {
	case errors.As(err, new(*fs.PathError)): // of the file: reading from the network gives other types
		return final{err}
	case err != nil:
		return withoutURL(ctx, err)
	case have+n > limit:
		return final{fmt.Errorf("%w: package is larger than %d bytes", file.ErrLimit, limit)}
	}
	return f.Sync()
}

// Space returns ErrSpace if need more bytes would leave less than Free on the disk.
func (d *Downloader) Space(need uint64) error {
	free, err := file.Free(d.Dir)
	if err != nil {
		return nil // not known on this system; writing fails if the disk is full
	}
	if want := need + d.Free; want < need || free < want {
		return fmt.Errorf("%w: %d bytes needed, %d to be left, %d free", ErrSpace, need, d.Free, free)
	}
	return nil
}

// accept checks the head of an answer and returns the number of bytes of f that its body follows.
func accept(res *http.Response, f file.File, have int64) (int64, error) {
	switch code := res.StatusCode; {
	case code == http.StatusPartialContent &&
		strings.HasPrefix(res.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", have)):
		return have, nil
	case code == http.StatusOK: // the whole package: the server does not support ranges
		return 0, f.Truncate(0)
	case code == http.StatusPartialContent, code == http.StatusRequestedRangeNotSatisfiable:
		return 0, errors.Join(errRange, f.Truncate(0))
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests, code >= 500:
		return 0, fmt.Errorf("server answers %s", res.Status)
	default:
		return 0, final{fmt.Errorf("server answers %s", res.Status)}
	}
}

// watched calls alive with each read that brings bytes.
type watched struct {
	io.Reader
	alive func()
}

func (w watched) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if n > 0 {
		w.alive()
	}
	return n, err
}

// withoutURL returns err without the URL, which may hold a secret; if ctx has ended it returns the cause of that.
func withoutURL(ctx context.Context, err error) error {
	if ue := new(url.Error); errors.As(err, &ue) {
		err = ue.Err
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return err
}

// verify compares the file with the digests of m.
func (d *Downloader) verify(path string, m app.VolumeMeta) error {
	if m.MD5 != "" {
		if sum, err := d.Disk.MD5(path); err != nil {
			return err
		} else if sum != m.MD5 {
			return fmt.Errorf("%w: md5 is %s", ErrDigest, sum)
		}
	}
	if m.SHA256 != "" {
		if sum, err := d.Disk.SHA256(path); err != nil {
			return err
		} else if !strings.EqualFold(sum, m.SHA256) {
			return fmt.Errorf("%w: sha256 is %s", ErrDigest, sum)
		}
	}
	return nil
}

// digestName is the file name of a download: its digest in hex, so each package has its own.
func digestName(m app.VolumeMeta) string {
	if m.SHA256 != "" {
		return strings.ToLower(m.SHA256)
	}
	sum, _ := base64.StdEncoding.DecodeString(m.MD5) // Check has decoded it
	return hex.EncodeToString(sum)
}

// forget removes all downloads but the one called name, so that at most one takes space on the disk.
func (d *Downloader) forget(name string) error {
	entries, err := d.Disk.ReadDir(d.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != name {
			if err := d.Disk.RemoveAll(filepath.Join(d.Dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *Downloader) length(path string) int64 {
	st, err := d.Disk.Stat(path)
	if err != nil {
		return 0
	}
	return st.Size()
}
