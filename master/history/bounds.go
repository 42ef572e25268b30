package history

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// bounded leaves out the oldest of what is too much: first texts, then entries.
func (h *History) bounded(entries []Entry) []Entry {
	stays := map[int]bool{}
	if i := find(entries, func(e Entry) bool { return e.Result == masterapi.ResultRunning }); i >= 0 {
		stays[entries[i].Number] = true
	}
	if e, ok := before(entries); ok {
		stays[e.Number] = true
	}
	for i := 0; i < len(entries) && len(entries) > h.opts.Max; {
		if stays[entries[i].Number] {
			i++
			continue
		}
		entries = slices.Delete(entries, i, i+1)
	}
	for i := range entries {
		if bytes(entries) <= h.opts.Size {
			break
		}
		if !stays[entries[i].Number] {
			entries[i].Kept = false
		}
	}
	return entries
}

// bytes is what the texts of entries take. Two entries share the text that they have in common.
func bytes(entries []Entry) (sum int64) {
	seen := map[string]bool{}
	for _, e := range entries {
		if e.Kept && !seen[e.SHA256] {
			seen[e.SHA256] = true
			sum += int64(e.Size)
		}
	}
	return sum
}

// sweep removes files that no entry names, also those of interrupted writes.
func (h *History) sweep() {
	wanted := map[string]bool{filepath.Base(h.path(h.pending)): true}
	for _, e := range h.entries {
		if e.Kept {
			wanted[filepath.Base(h.path(e.SHA256))] = true
		}
	}
	found, err := h.opts.Disk.ReadDir(h.opts.Dir)
	for _, f := range found {
		if !wanted[f.Name()] && !strings.HasPrefix(f.Name(), filepath.Base(h.index.Path)) {
			err = errors.Join(err, h.opts.Disk.Remove(filepath.Join(h.opts.Dir, f.Name())))
		}
	}
	if err != nil {
		h.opts.Log.WithError(err).Warnf("cannot remove what the history does not need any more; it is tried again")
	}
}

// find returns the index of the newest entry that is so, -1 if there is none.
func find(entries []Entry, is func(Entry) bool) int {
	for i, e := range slices.Backward(entries) {
		if is(e) {
			return i
		}
	}
	return -1
}

// before returns the last application that ran well before the one that runs, and is another one.
func before(entries []Entry) (Entry, bool) {
	running := find(entries, func(e Entry) bool { return e.Result == masterapi.ResultRunning })
	for i, e := range slices.Backward(entries) {
		if e.Result == masterapi.ResultEnded && (running < 0 || i < running && !e.same(entries[running])) {
			return e, true
		}
	}
	return Entry{}, false
}

// cut bounds a text to n bytes, at the end of a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
