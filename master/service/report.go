package service

import (
	"encoding/json"
	"fmt"
	"maps"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

// Limits of what instances may report. Bytes are those of inspect, whose readers take 16 MiB (protocol/http), in all.
const (
	maxReportKeys   = 100     // of one instance
	maxReportBytes  = 1 << 20 // of one instance
	maxReportsBytes = 8 << 20 // of all instances of a master
)

// Report keeps what an instance reports for inspect; each key replaces that of earlier reports. The values are JSON
// that has been checked (master/api), since inspect shows them as they are. ErrInvalid: a key that belongs to the
// master; ErrLimit: too many keys or bytes.
func (m *Manager) Report(service, instance string, report map[string]json.RawMessage) error {
	s, err := m.service(service)
	if err != nil {
		return err
	}
	i, err := s.find(instance)
	if err != nil {
		return err
	}
	m.reporting.Lock() // one report at a time, so that the limit holds for all together
	defer m.reporting.Unlock()
	others := 0
	for _, name := range m.Names() {
		s, err := m.service(name)
		if err != nil {
			continue // stopped meanwhile
		}
		for _, o := range s.list() {
			if o != i {
				others += o.reportedBytes()
			}
		}
	}
	return i.report(report, others)
}

// report merges the first layer of report into what was reported before. others is the size of what the other
// instances have reported, in bytes.
func (i *instance) report(report map[string]json.RawMessage, others int) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	merged := maps.Clone(i.reported)
	if merged == nil {
		merged = map[string]json.RawMessage{}
	}
	for k, v := range report {
		if masterapi.Reserved(k) {
			return fmt.Errorf("%w: key %q is the master's; use another name", ErrInvalid, k)
		}
		merged[k] = v
	}
	size := sizeOf(merged)
	if len(merged) > maxReportKeys || size > maxReportBytes {
		const text = "%w: an instance may report %d keys and %d bytes altogether"
		return fmt.Errorf(text, ErrLimit, maxReportKeys, maxReportBytes)
	}
	if others+size > maxReportsBytes {
		return fmt.Errorf("%w: all instances together may report %d bytes", ErrLimit, maxReportsBytes)
	}
	i.reported = merged
	return nil
}

// reportedBytes is the size of what the instance has reported, as inspect shows it.
func (i *instance) reportedBytes() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return sizeOf(i.reported)
}

// sizeOf counts keys as JSON writes them: one that holds markup or control characters takes six bytes for each.
func sizeOf(report map[string]json.RawMessage) (size int) {
	for k, v := range report {
		key, _ := json.Marshal(k) // a string has no error
		size += len(key) + len(v) + len(":,")
	}
	return size
}
