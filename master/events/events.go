// Package events remembers what has happened, for whoever wants to know now or later.
//
//	master, service, update ──Add──► Ring: the newest, with numbers ──Since, Changed──► readers, each at its own pace
//	                                   └► a file, from which the next master goes on (Keep)
//
// It promises that Add never waits, that numbers have no gaps, and that nothing runs as long as nobody reads. A reader
// that is too slow learns how many it has missed.
package events

import (
	"strconv"
	"sync"
	"time"

	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/logfile"
)

// Events that a Ring keeps by default, and bytes that the texts of one may have; more is cut. Together they bound its
// memory to some MB in the worst case, and to some hundred KB in usual ones.
const (
	DefaultSize = 1000
	maxText     = 1 << 10
)

// Ring holds the newest events. Its methods may be called from any goroutine, and on nil, which remembers nothing.
type Ring struct {
	mu      sync.Mutex        // guards what follows
	list    []masterapi.Event // the newest, up to twice size
	next    uint64            // number of the event that comes next
	changed chan struct{}     // closed by the next Add; nil: nobody waits
	size    int
	file    *logfile.File // where they are kept for the next master; nil: nowhere
	now     func() time.Time
}

// New returns a ring of size events; 0: DefaultSize.
func New(size int) *Ring {
	if size <= 0 {
		size = DefaultSize
	}
	return &Ring{size: size, next: 1, now: time.Now}
}

// Add remembers an event of now. service and instance may be empty, fields nil. It keeps fields.
func (r *Ring) Add(kind, service, instance, text string, fields map[string]string) {
	if r == nil {
		return
	}
	for k, v := range fields {
		fields[k] = cut(v)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e := masterapi.Event{
		Number: r.next, Time: r.now().UTC(), Kind: kind, Service: service, Instance: instance, Text: cut(text),
		Fields: fields,
	}
	if r.next++; r.file != nil {
		_, _ = r.file.Write(line(e)) // it never fails, nor waits
	}
	if r.list = append(r.list, e); len(r.list) >= 2*r.size { // so that a copy is rare
		r.list = append([]masterapi.Event(nil), r.list[len(r.list)-r.size:]...)
	}
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

// Since returns the events that are kept with a number of at least from, the oldest first, and the number of the next
// one, which the caller asks for then. When older ones of those are not kept any more, the first of the list says how
// many (masterapi.EventsMissed).
func (r *Ring) Since(from uint64) (list []masterapi.Event, next uint64) {
	if r == nil {
		return nil, 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := r.list[max(0, len(r.list)-r.size):]
	if len(kept) == 0 || from >= r.next {
		return nil, r.next
	}
	if oldest := kept[0].Number; from > oldest {
		kept = kept[from-oldest:]
	} else if missed := oldest - max(from, 1); missed > 0 {
		list = append(list, masterapi.Event{
			Number: oldest - 1, Time: kept[0].Time, Kind: masterapi.EventsMissed, Text: text(missed),
			Fields: map[string]string{masterapi.FieldCount: strconv.FormatUint(missed, 10)},
		})
	}
	return append(list, kept...), r.next
}

func text(missed uint64) string {
	return strconv.FormatUint(missed, 10) + " earlier events are not kept any more"
}

// Changed returns a channel that is closed when the event with number next is there; nil, which never is, on nil.
func (r *Ring) Changed(next uint64) <-chan struct{} {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	changed := r.changed
	if r.next > next { // it is there already
		changed = make(chan struct{})
		close(changed)
	}
	return changed
}

// cut bounds a text.
func cut(s string) string {
	if len(s) > maxText {
		return s[:maxText] + "…"
	}
	return s
}
