//go:build unix

package docker

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/baetyl/baetyl/utils/file"
)

// idFile holds the random part of the master's id, relative to the working directory. It lies with the data, since
// containers survive a restart of the machine, which may empty var/run.
const idFile = "var/db/baetyl/master.id"

func randomID() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return hex.EncodeToString(b)
}

// masterID returns the id of this master. It depends on the working directory too: a copy of the directory on the
// same machine is another master.
func (e *Engine) masterID() (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.master != "" {
		return e.master, nil
	}
	path := filepath.Join(e.opts.Workdir, idFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && strings.TrimSpace(string(data)) == "" {
		data = []byte(randomID() + randomID() + "\n")
		if err = os.MkdirAll(filepath.Dir(path), 0o755); err == nil {
			err = file.WriteAtomic(path, data, 0o600)
		}
	}
	if err != nil {
		return "", fmt.Errorf("id of the master: %w", err)
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(string(data)) + "\n" + e.opts.Workdir))
	e.master = hex.EncodeToString(sum[:8])
	return e.master, nil
}

// short returns the short form of an id, as the docker command prints it.
func short(id string) string { return id[:min(len(id), 12)] }
