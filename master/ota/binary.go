package ota

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/baetyl/baetyl/utils/file"
)

// Binary is the master's program: the file that its supervisor starts.
type Binary struct {
	Path string    // absolute; empty: unknown, then there is no candidate
	Disk file.Disk // where it lies; by default that of this machine
}

// staged is the suffix of a candidate. It is copied beside the binary first, so that what was checked is what runs.
const staged = ".new"

// maxBinary is the largest candidate, in bytes.
const maxBinary = 1 << 30

// askTimeout is how long a candidate may take to check configuration and application, or to say its version.
const askTimeout = 30 * time.Second

// Candidate is where a candidate waits, beside the binary that it is to replace.
func (b Binary) Candidate() string { return b.Path + staged }

// OfCandidate returns the path of the program whose candidate is at path.
func OfCandidate(path string) string { return strings.TrimSuffix(path, staged) }

// HasCandidate tells whether a candidate waits.
func (b Binary) HasCandidate() (bool, error) {
	if b.Path == "" {
		return false, nil
	}
	_, err := b.Disk.Or().Lstat(b.Candidate())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Stage copies a candidate beside the binary and returns its SHA-256 in hex.
func (b Binary) Stage(from io.Reader) (sum string, err error) {
	f, err := b.Disk.Or().OpenFile(b.Candidate(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, h), io.LimitReader(from, maxBinary+1))
	switch {
	case err != nil:
		return "", err
	case n > maxBinary:
		return "", fmt.Errorf("candidate is larger than %d bytes", maxBinary)
	}
	// chmod, since the umask may have removed bits
	if err := errors.Join(f.Chmod(0o755), f.Sync(), f.Close()); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), b.Disk.Or().SyncDir(filepath.Dir(b.Candidate()))
}

// Check lets the candidate check the configuration and application of this device: it has to print OK! and exit with
// status 0, within 30 s or what ctx leaves of them.
func (b Binary) Check(ctx context.Context, workdir, config string) error {
	out, err := b.ask(ctx, "check", "-w", workdir, "-c", config)
	switch {
	case err != nil:
		return fmt.Errorf("check master: %w", err)
	case !strings.Contains(out, "OK!"):
		return fmt.Errorf("check master: OK! expected, found %q", out)
	}
	return nil
}

// HasKeeper tells whether the candidate leaves its services to a keeper: its `version` says so, within 30 s or what ctx
// leaves of them. A version from before there was one has to be its services' parent.
func (b Binary) HasKeeper(ctx context.Context) (bool, error) {
	out, err := b.ask(ctx, "version")
	if err != nil {
		return false, fmt.Errorf("ask new master for its version: %w", err)
	}
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, KeeperLine) {
			return true, nil
		}
	}
	return false, nil
}

// KeeperLine begins the line of `version` that says which protocol of keeper and master a program speaks.
const KeeperLine = "Keeper:"

// ask runs the candidate with args and returns the first 4 KB of what it prints; they stand in the error too.
func (b Binary) ask(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	out, err := b.run(ctx, args...)
	for errors.Is(err, syscall.ETXTBSY) && ctx.Err() == nil {
		// A service that was forked while the file was written still holds it.
		time.Sleep(10 * time.Millisecond)
		out, err = b.run(ctx, args...)
	}
	switch {
	case ctx.Err() != nil:
		return "", errors.New("no answer in time")
	case errors.Is(err, syscall.ENOEXEC):
		return "", fmt.Errorf("%w; name a baetyl for %s/%s", err, runtime.GOOS, runtime.GOARCH)
	case err != nil:
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return out, nil
}

func (b Binary) run(ctx context.Context, args ...string) (string, error) {
	c := exec.CommandContext(ctx, b.Candidate(), args...)
	var out bytes.Buffer
	w := &head{to: &out, left: 4096}
	c.Stdout, c.Stderr = w, w
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // children that hold its output end with it
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = time.Second
	err := c.Run()
	return strings.TrimSpace(out.String()), err
}

// head passes the first bytes on and drops the rest.
type head struct {
	to   io.Writer
	left int
}

func (h *head) Write(p []byte) (int, error) {
	n := min(len(p), h.left)
	h.left -= n
	if _, err := h.to.Write(p[:n]); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Discard removes a candidate, if there is one.
func (b Binary) Discard() error {
	if b.Path == "" {
		return nil
	}
	if err := b.Disk.Or().Remove(b.Candidate()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove candidate: %w", err)
	}
	return nil
}
