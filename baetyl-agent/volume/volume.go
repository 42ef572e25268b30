// Package volume brings packages of the cloud into folders of the device, and removes those that are not needed any
// more.
//
//	url ─► .agent/download/<digest> ─► .agent/stage/new ─► record: placing ─► <path> ─► record: in place
//	        continued after a break     unpacked, fsync                       rename
//
// It promises that a folder has a complete package or what it had before, whenever the power fails; that it replaces
// neither a folder of the running application nor one that was not downloaded here; that it writes and removes nothing
// outside of Dir; and that Clean removes only folders that the record has.
//
// It does not know what is in a package, nor when an update starts or ends: its caller says what must stay.
package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/baetyl/baetyl/baetyl-agent/download"
	"github.com/baetyl/baetyl/protocol/cloud"
	"github.com/baetyl/baetyl/utils/backoff"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/state"
)

// Errors of this package; errors.Is decides.
var (
	ErrLive    = errors.New("folder is in use by the running application; give the new content a path of its own")
	ErrForeign = errors.New("folder exists, and the agent has not downloaded it")
)

// Limits are the maximum sizes of one package. All but Free must be more than 0.
type Limits struct {
	Package  conf.Size `yaml:"package" json:"package" default:"1g" validate:"min=1"`   // the archive
	Unpacked conf.Size `yaml:"unpacked" json:"unpacked" default:"4g" validate:"min=1"` // all its files together
	Files    int       `yaml:"files" json:"files" default:"100000" validate:"min=1"`   // entries
	Free     conf.Size `yaml:"free" json:"free" default:"64m" validate:"min=0"`        // bytes that stay free on the disk
}

// Config is what a Store needs.
type Config struct {
	Dir     string    // what the master knows as cloud.Root
	Disk    file.Disk // where Dir lies; zero: file.OS
	Client  *http.Client
	Limits  Limits
	Timeout time.Duration // time without a byte after which a download fails
	// tells that the cloud is unreachable: that time does not count for Timeout; nil: all time counts
	Offline      func() bool
	StallTimeout time.Duration // time without a byte after which a connection is made anew; 0: a minute
	// time between attempts, counted anew after each one that brought something; zero: 1s to 1m
	Retry backoff.Policy
	Log   log.Logger
}

// Live returns the paths of the volumes of the running application, as the master's inspect has them.
type Live func(context.Context) ([]string, error)

// Store is the folders and their record. Its methods may be called from any goroutine; they run one after the other.
type Store struct {
	Config
	download *download.Downloader
	root     file.Disk // Dir; refuses paths and links that lead out of it
	close    func() error
	file     state.File[record]

	mu     sync.Mutex // held during each method
	record record     // as it is on disk, unless writing it has failed
}

// Open reads the record, and finishes or undoes a replacement that a crash has interrupted. A damaged record is put
// aside and logged, and the store starts with an empty one. The caller makes sure that no other process has Dir open.
func Open(cfg Config) (*Store, error) {
	if cfg.StallTimeout <= 0 {
		cfg.StallTimeout = time.Minute
	}
	if cfg.Retry.Max <= 0 {
		cfg.Retry = backoff.Policy{Min: time.Second, Max: time.Minute, Jitter: 0.2}
	}
	cfg.Disk = cfg.Disk.Or()
	if err := cfg.Disk.MakeDir(filepath.Join(cfg.Dir, downloads), 0o700); err != nil {
		return nil, err
	}
	root, err := cfg.Disk.Root(cfg.Dir)
	if err != nil {
		return nil, err
	}
	s := &Store{Config: cfg, root: file.Disk{FS: root}, close: root.Close, download: &download.Downloader{
		Dir:          filepath.Join(cfg.Dir, downloads),
		Disk:         cfg.Disk,
		Client:       cfg.Client,
		Limit:        int64(cfg.Limits.Package),
		Free:         uint64(cfg.Limits.Free),
		Timeout:      cfg.Timeout,
		Offline:      cfg.Offline,
		StallTimeout: cfg.StallTimeout,
		Retry:        cfg.Retry,
		Log:          cfg.Log,
	}}
	s.file = state.File[record]{
		Path: filepath.Join(cfg.Dir, recordFile), What: "record of volumes",
		Then: "volumes that are there are neither replaced nor removed", Version: 1, Disk: cfg.Disk, Log: cfg.Log,
	}
	if err := s.recover(); err != nil {
		_ = root.Close()
		return nil, fmt.Errorf("recover volumes in %s: %w", cfg.Dir, err)
	}
	return s, nil
}

// recover makes folders and record agree after a start.
func (s *Store) recover() error {
	if err := s.load(); err != nil {
		return err
	}
	if err := s.settle(); err != nil {
		return err
	}
	if err := s.root.RemoveAll(stage); err != nil {
		return err
	}
	return s.root.RemoveAll(trash)
}

// Close closes Dir.
func (s *Store) Close() error { return s.close() }

// Ensure makes v's folder hold v's package. It returns at once if it holds it already. It calls live only if it has to
// replace a folder. It waits while the network is down, up to Timeout. Errors are ErrLive, ErrForeign, those of v.Check
// and of download.Downloader.Fetch, and of the archive and the disk; they contain no URL.
func (s *Store) Ensure(ctx context.Context, v cloud.Volume, live Live) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.ensure(ctx, v, live)
	if err != nil {
		return fmt.Errorf("prepare volume (%s): %w", v.Name, err)
	}
	return nil
}

func (s *Store) ensure(ctx context.Context, v cloud.Volume, live Live) error {
	if err := v.Check(); err != nil {
		return err
	}
	dir, err := v.Dir()
	if err != nil {
		return err
	}
	if err := s.settle(); err != nil {
		return err
	}
	if st, err := s.root.Stat(dir); err == nil && st.IsDir() && s.record.Volumes[dir].holds(v.Meta) {
		return nil
	}
	if err := s.replaceable(ctx, dir, live); err != nil && !errors.Is(err, ErrForeign) {
		return err
	}
	archive, err := s.download.Fetch(ctx, v.Meta)
	if err != nil {
		return err
	}
	if err := s.unpack(archive); err != nil {
		_ = s.Disk.Remove(archive)
		return err
	}
	// Downloading may have taken hours, in which the application may have changed.
	switch err := s.replaceable(ctx, dir, live); {
	case err == nil:
		if err := s.place(dir, v.Meta); err != nil {
			return err
		}
	case !errors.Is(err, ErrForeign):
		return err
	default: // the folder may have just this content: from another agent, or from this one before it lost its record
		if err := s.adopt(dir, v.Meta); err != nil {
			return err
		}
	}
	_ = s.Disk.Remove(archive) // if that fails the next download removes it
	s.Log.WithField("volume", v.Name).WithField("path", v.Path).Infof("volume is in place")
	return nil
}

// replaceable returns ErrForeign or ErrLive if dir must not be replaced. A missing or empty folder may be replaced.
func (s *Store) replaceable(ctx context.Context, dir string, live Live) error {
	if occupied, err := s.occupied(dir); err != nil || !occupied {
		return err
	}
	if _, ours := s.record.Volumes[dir]; !ours {
		return ErrForeign
	}
	paths, err := live(ctx)
	if err != nil {
		return fmt.Errorf("ask the master which volumes are in use: %w", err)
	}
	for _, p := range paths {
		if p = below(p); p != "" && related(p, dir) {
			return ErrLive
		}
	}
	return nil
}

// occupied tells whether there is something at dir that a rename would remove.
func (s *Store) occupied(dir string) (bool, error) {
	st, err := s.root.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil || !st.IsDir() {
		return true, err
	}
	entries, err := s.root.ReadDir(dir)
	return len(entries) > 0, err
}

// unpack fills stagedNew with the content of archive and makes it durable.
func (s *Store) unpack(archive string) error {
	if err := s.root.RemoveAll(stage); err != nil {
		return err
	}
	if err := s.root.MakeDir(stage, 0o700); err != nil {
		return err
	}
	size, err := s.Disk.Unpacked(archive)
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	if size > uint64(s.Limits.Unpacked) {
		return fmt.Errorf("unpack: %w: %d bytes, allowed %d", file.ErrLimit, size, s.Limits.Unpacked)
	}
	if err := s.download.Space(size); err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	to := filepath.Join(s.Dir, stagedNew)
	if err := s.Disk.Unzip(archive, to, file.Limits{Bytes: int64(s.Limits.Unpacked), Files: s.Limits.Files}); err != nil {
		_ = s.root.RemoveAll(stage) // if that fails the next unpack does it
		return fmt.Errorf("unpack: %w", err)
	}
	return s.root.SyncTree(stage) // its name too: settle counts a rename as done when stagedNew is gone
}
