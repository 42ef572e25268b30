package ota

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/file"
)

// otaLog is the file masterapi.OTALog.
type otaLog struct {
	path string
	disk file.Disk

	written func(masterapi.OTARecord) // told each line once it is on disk; nil: nobody is
}

// entry is a line of the log.
func entry(u Update, step, msg string, cause error) masterapi.OTARecord {
	r := masterapi.OTARecord{Time: time.Now().UTC(), Level: "info", Msg: msg, Step: step, Type: u.Type, Trace: u.Trace}
	if cause != nil {
		r.Level, r.Error = "error", cause.Error()
	}
	return r
}

// begin writes the first record of an update. The file holds one trace.
func (l otaLog) begin(r masterapi.OTARecord) error {
	last, err := l.last()
	if err == nil && last != nil && last.Trace == r.Trace && r.Trace != "" {
		return l.append(r)
	}
	if err := l.disk.MakeDir(filepath.Dir(l.path), 0o755); err != nil {
		return fmt.Errorf("write OTA log: %w", err)
	}
	return l.replace(r)
}

// last returns the last record, nil when there is none. A damaged file counts as empty.
func (l otaLog) last() (*masterapi.OTARecord, error) {
	data, err := l.disk.ReadFile(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read OTA log: %w", err)
	}
	records, err := masterapi.ReadOTALog(bytes.NewReader(data))
	if err != nil || len(records) == 0 {
		return nil, nil
	}
	return &records[len(records)-1], nil
}

func (l otaLog) tidy() error {
	if err := l.disk.Tidy(l.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("tidy up beside OTA log: %w", err)
	}
	return nil
}

// append adds a record after the last whole line, and returns when it is on disk. The file is short, and is
// replaced as a whole, so that a power cut cannot damage the lines before.
func (l otaLog) append(r masterapi.OTARecord) error {
	last, err := l.last()
	if last == nil && err == nil {
		return l.replace(r)
	}
	var data []byte
	if err == nil {
		data, err = l.disk.ReadFile(l.path)
	}
	if err == nil {
		whole := data[:bytes.LastIndexByte(data, '\n')+1] // without a line that a power cut has left incomplete
		err = l.disk.WriteAtomic(l.path, append(whole, line(r)...), 0o644)
	}
	if err != nil {
		return fmt.Errorf("write OTA log: %w", err)
	}
	l.tell(r)
	return nil
}

func (l otaLog) tell(r masterapi.OTARecord) {
	if l.written != nil {
		l.written(r)
	}
}

func (l otaLog) replace(r masterapi.OTARecord) error {
	if err := l.disk.WriteAtomic(l.path, line(r), 0o644); err != nil {
		return fmt.Errorf("write OTA log: %w", err)
	}
	l.tell(r)
	return nil
}

func line(r masterapi.OTARecord) []byte {
	data, err := json.Marshal(r)
	if err != nil {
		panic(fmt.Sprintf("encode own record: %s", err)) // texts and a time of this era
	}
	return append(data, '\n')
}
