// Package history remembers which applications have run: when, who has asked for each, and why it ended.
//
//	update accepted ─► Keep: <sha256>.yml ─► … ─► End: index.json, in one write ─► List, Text
//	start of the master ─► Open ─► Found: what runs is not the last one (somebody has changed the file)
//
// It promises that the index is whole after a power cut, that number and bytes are bounded, and that what runs and what
// a revert would bring back are the last to go. Nothing that fails here stops an update. It knows nothing of services.
package history

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/file"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/state"
)

// Dir is where the history lies, relative to the working directory of the master. It is 0700, since applications hold
// what services know.
const Dir = "var/db/baetyl/history"

// Limits of texts in an entry, in bytes: a trace is as long as the API lets it be, and a reason is for people.
const (
	maxReason  = 4 << 10
	maxVersion = 256
)

// Errors of Text; errors.Is decides.
var (
	ErrNotFound = errors.New("not in the history")
	ErrNotKept  = errors.New("its application.yml is not kept")
)

// Options say where the history lies, and how much of it is kept.
type Options struct {
	Dir  string // absolute
	Max  int    // entries; what runs and what a revert brings back count, and stay
	Size int64  // bytes of all application.yml together, with the same exception
	Disk file.Disk
	Log  log.Logger
}

// Entry is an application, with what the names of its images meant.
type Entry struct {
	masterapi.HistoryEntry
	Images map[string]engine.Image `json:"images,omitempty"`
}

// same tells whether two entries are the same application, with the same images.
func (e Entry) same(o Entry) bool { return e.SHA256 == o.SHA256 && maps.Equal(e.Images, o.Images) }

// ran tells whether the application runs, or has run and was replaced by a good one.
func (e Entry) ran() bool {
	return e.Result == masterapi.ResultRunning || e.Result == masterapi.ResultEnded
}

// History is the record. Its methods may be called from any goroutine once Open has returned.
type History struct {
	opts  Options
	index state.File[index]

	mu      sync.Mutex // guards the files and what follows
	known   bool       // the index was read
	entries []Entry    // the oldest first
	next    int        // number of the next one
	pending string     // digest of the text of an update that has not ended; it stays
}

type index struct {
	Next    int     `json:"next"`
	Entries []Entry `json:"entries"`
}

// New returns the history in opts.Dir. It opens nothing.
func New(opts Options) *History {
	opts.Disk = opts.Disk.Or()
	return &History{opts: opts, next: 1, index: state.File[index]{
		Path: filepath.Join(opts.Dir, "index.json"), What: "history of applications", Version: 1,
		Disk: opts.Disk, Log: opts.Log, Then: "it begins anew with what runs",
	}}
}

// Open reads the history. pending is the digest of the application of an update that has not ended, or empty. Only the
// process that holds the lock of the working directory may call it. What cannot be read is logged.
func (h *History) Open(pending string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pending = pending
	err := h.opts.Disk.MakeDir(h.opts.Dir, 0o700)
	if err == nil {
		err = h.index.Tidy()
	}
	if err != nil {
		h.opts.Log.WithError(err).Warnf("cannot prepare the history of applications; it is tried again")
	}
	if h.read() {
		h.sweep()
	}
}

// read tells whether the index was read, and tries to: what is not known must not be replaced.
func (h *History) read() bool {
	if h.known {
		return true
	}
	left, err := h.index.Load()
	if err != nil && !errors.Is(err, state.ErrDamaged) { // which is logged
		h.opts.Log.WithError(err).Errorf("cannot read the history of applications; nothing is added to it")
		return false
	}
	h.entries, h.next, h.known = left.Entries, max(left.Next, 1), true
	return true
}

// Keep writes the text of an application that an update will try, before anything else of the update is written.
func (h *History) Keep(sum string, data []byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pending = sum
	return h.keep(sum, data)
}

func (h *History) keep(sum string, data []byte) error {
	if is, err := h.opts.Disk.SHA256(h.path(sum)); err == nil && is == sum {
		return nil
	}
	if err := h.opts.Disk.WriteAtomic(h.path(sum), data, 0o600); err != nil {
		return fmt.Errorf("keep application.yml in the history: %w", err)
	}
	return nil
}

// End records how an update has ended whose application Keep has kept. e holds all but its number and when it ended. An
// update that is recorded already, before the master was killed, is not recorded again.
func (h *History) End(e Entry, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pending = ""
	if !h.read() {
		return
	}
	entries := slices.Clone(h.entries)
	if n := len(entries); n > 0 && entries[n-1].SHA256 == e.SHA256 && entries[n-1].Began.Equal(e.Began) {
		return
	}
	e.Reason, e.Version = cut(e.Reason, maxReason), cut(e.Version, maxVersion)
	e.Number, e.Kept = h.next, true
	if e.Result == masterapi.ResultRunning {
		end(entries, fmt.Sprintf("replaced by %d", e.Number), now)
	} else {
		e.Ended = &now
	}
	h.save(append(entries, e), h.next+1)
}

// Found records what runs after a start of the master, unless it is the last one that ran: somebody has changed the
// file, or this is the first start of a version with a history. e has no SHA256 when nothing runs.
func (h *History) Found(e Entry, data []byte, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.read() {
		return
	}
	running := find(h.entries, func(o Entry) bool { return o.Result == masterapi.ResultRunning })
	if e.SHA256 == "" && running < 0 || running >= 0 && h.entries[running].SHA256 == e.SHA256 {
		return
	}
	entries, next := slices.Clone(h.entries), h.next
	why := "there was no application.yml at a start of the master"
	if e.SHA256 != "" {
		why = fmt.Sprintf("the file was changed: replaced by %d", next)
	}
	end(entries, why, now)
	if e.SHA256 != "" {
		e.Number, e.Began, e.Result, e.Version = next, now, masterapi.ResultRunning, cut(e.Version, maxVersion)
		err := h.keep(e.SHA256, data)
		if e.Kept = err == nil; err != nil {
			h.opts.Log.WithError(err).Warnf("a revert to the application that runs will not be possible")
		}
		entries, next = append(entries, e), next+1
	}
	h.save(entries, next)
}

// end ends the entry that runs.
func end(entries []Entry, why string, now time.Time) {
	for i := range entries {
		if entries[i].Result == masterapi.ResultRunning {
			entries[i].Result, entries[i].Ended = masterapi.ResultEnded, &now
			entries[i].Reason = cut(strings.TrimPrefix(entries[i].Reason+"; "+why, "; "), maxReason)
		}
	}
}

// save makes entries the history, but for those that are too many. When the disk does not take it, it holds until the
// master ends.
func (h *History) save(entries []Entry, next int) {
	h.entries, h.next = h.bounded(entries), next
	if err := h.index.Save(index{Next: next, Entries: h.entries}); err != nil {
		h.opts.Log.WithError(err).Warnf("cannot record the history of applications; the next update tries again")
		return
	}
	h.sweep()
}

// List returns the entries, the newest first.
func (h *History) List() []masterapi.HistoryEntry {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]masterapi.HistoryEntry, 0, len(h.entries))
	for _, e := range slices.Backward(h.entries) {
		out = append(out, e.HistoryEntry)
	}
	return out
}

// Get returns the entry with that number; 0 is the one that a revert without a number brings back. ErrNotFound.
func (h *History) Get(number int) (Entry, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if number == 0 {
		if e, ok := before(h.entries); ok {
			return e, nil
		}
		return Entry{}, fmt.Errorf("no other application has run here before: %w", ErrNotFound)
	}
	i := find(h.entries, func(e Entry) bool { return e.Number == number })
	if i < 0 {
		return Entry{}, fmt.Errorf("application %d: %w; baetyl history lists what is there", number, ErrNotFound)
	}
	return h.entries[i], nil
}

// Before returns the last entry older than number that ran; ok is false when there is none.
func (h *History) Before(number int) (e Entry, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range slices.Backward(h.entries) {
		if e.Number < number && e.ran() {
			return e, true
		}
	}
	return Entry{}, false
}

// Text returns the application.yml of e. ErrNotKept: it was left out of what is kept, or it is lost or damaged.
func (h *History) Text(e Entry) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !e.Kept {
		return nil, fmt.Errorf("application %d: %w (history.max, history.size)", e.Number, ErrNotKept)
	}
	data, err := h.opts.Disk.ReadHead(h.path(e.SHA256), conf.MaxSize+1)
	if err == nil && digest(data) != e.SHA256 {
		err = errors.New("the file is damaged")
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.New("the file is gone")
	}
	if err != nil {
		return nil, fmt.Errorf("application %d: %w: %w", e.Number, ErrNotKept, err)
	}
	return data, nil
}

// Running is whether e runs, or one that is the same.
func (h *History) Running(e Entry) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := find(h.entries, func(e Entry) bool { return e.Result == masterapi.ResultRunning })
	return i >= 0 && h.entries[i].same(e)
}

func (h *History) path(sum string) string { return filepath.Join(h.opts.Dir, sum+".yml") }
