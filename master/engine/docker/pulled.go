//go:build unix

package docker

import (
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/baetyl/baetyl/utils/log"
	statefile "github.com/baetyl/baetyl/utils/state"
)

// pulledPath is the record of the images that this master has pulled, relative to the working directory.
const pulledPath = "var/db/baetyl/pulled.json"

// pulledImage is an image that was not here before this master pulled it.
type pulledImage struct {
	Refs []string `json:"refs"` // names and digests that it was pulled by
	// Idle is how long it has been seen without use, while masters ran: no clock that is set makes an image old.
	Idle time.Duration `json:"idle"`
}

// pulled are the images that this master has pulled, by id. An image that was here before is a stranger's.
type pulled struct {
	file statefile.File[map[string]pulledImage]

	mu     sync.Mutex // guards what follows
	loaded bool
	of     map[string]pulledImage
}

func pulledFile(workdir string, l log.Logger) statefile.File[map[string]pulledImage] {
	return statefile.File[map[string]pulledImage]{
		Path: filepath.Join(workdir, pulledPath), What: "record of the images that were pulled", Version: 1, Log: l,
		Then: "images that were pulled before are not removed",
	}
}

// note records that the image id was pulled by ref. before are the images that were there.
func (p *pulled) note(id, ref string, before map[string]bool) {
	p.change(func(of map[string]pulledImage) {
		was, ours := of[id]
		if !ours && before[id] {
			return
		}
		if !slices.Contains(was.Refs, ref) {
			was.Refs = append(slices.Clone(was.Refs), ref)
		}
		was.Idle = 0
		of[id] = was
	})
}

// change changes the record, writes it if it has become another one, and returns a copy. What cannot be written holds
// until this master ends.
func (p *pulled) change(f func(of map[string]pulledImage)) map[string]pulledImage {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.loaded {
		of, err := p.file.Load()
		p.of = map[string]pulledImage{}
		maps.Copy(p.of, of)
		p.loaded = err == nil || errors.Is(err, statefile.ErrDamaged)
	}
	was := maps.Clone(p.of)
	f(p.of)
	same := maps.EqualFunc(was, p.of, func(a, b pulledImage) bool {
		return a.Idle == b.Idle && slices.Equal(a.Refs, b.Refs)
	})
	if !same && p.loaded { // a record that cannot be read now is not replaced
		if err := p.file.Save(p.of); err != nil {
			p.file.Log.WithError(err).Warnf("an image may stay when nobody uses it any more")
		}
	}
	return maps.Clone(p.of)
}
