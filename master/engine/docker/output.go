//go:build unix

package docker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/output"
	"github.com/baetyl/baetyl/utils/log"
	"github.com/baetyl/baetyl/utils/logfile"
)

const (
	lineLimit   = 1 << 20          // bytes of a line that are held until its end
	frameLimit  = 1 << 20          // bytes of one frame; the daemon's are 16 KiB
	flushBytes  = 256 << 10        // after so much output the disk has to keep up
	flushWithin = 10 * time.Second // on a busy machine too; a disk that hangs is known sooner, by its error
)

// read follows the output until the container has ended or ctx ends. After an outage of the daemon, as after the end of
// an earlier master, it goes on where the file ends.
func (i *instance) read(ctx context.Context) {
	to := writer{out: i.out, file: i.file, lines: &i.lines}
	for n := 0; ctx.Err() == nil; n++ {
		opened, over := time.Now(), isClosed(i.ended)
		err := i.engine.copyOutput(ctx, i.id, i.place, !over, &to)
		switch {
		case unreadable(err):
			i.log.WithError(err).Warnf("what the instance writes is not in the file of its service: see its log driver")
			return
		case errdefs.IsNotFound(err), err == nil && over:
			return
		}
		if time.Since(opened) > engine.Again.Max {
			n = 0
		}
		ended := i.ended
		if over {
			ended = nil
		}
		select {
		case <-ctx.Done():
		case <-ended: // who follows may miss the last lines: the end is read once more
		case <-time.After(engine.Again.Delay(n, 0)):
		}
	}
}

// unreadable tells whether the daemon cannot give what a container writes, whenever it is asked.
func unreadable(err error) bool {
	return errdefs.IsNotImplemented(err) || err != nil && strings.Contains(err.Error(), "does not support reading")
}

// awaitRest waits until what a container has written before its end is read, as long as there are more lines.
func (i *instance) awaitRest(read <-chan struct{}) {
	for before := int64(-1); before != i.lines.Load(); {
		before = i.lines.Load()
		select {
		case <-read:
			return
		case <-time.After(outputTimeout):
		}
	}
}

// saveRest writes what a left container has written and no master has read.
func (e *Engine) saveRest(ctx context.Context, c container.InspectResponse) {
	labels := c.Config.Labels
	service, name := labels[labelService], labels[labelInstance]
	began, err := time.Parse(time.RFC3339Nano, c.State.StartedAt)
	if err != nil || began.Year() <= 1 || strings.ContainsRune(service, filepath.Separator) { // it never ran
		return
	}
	l := e.opts.Log.WithField(log.KeyService, service).WithField(log.KeyInstance, name)
	path := filepath.Join(e.opts.Workdir, output.File(service))
	from, err := findPlace(path, name, began)
	if err != nil {
		l.WithError(err).Warnf("cannot read how far the output of the instance is in its file; some may be twice there")
	}
	from.back = setBack(0, began, from.last(), time.Now())
	file := logfile.New(path, logfile.Limits{NoLink: true}) // another one may be open: that one rotates
	to := writer{out: logfile.NewLines(file, name), file: file, lines: new(atomic.Int64)}
	err = e.copyOutput(ctx, c.ID, from, false, &to)
	if err = errors.Join(err, output.Close(file)); err != nil && !unreadable(err) {
		l.WithError(err).Warnf("cannot write the last output of a container that is removed")
	}
}

// writer writes the output of a container to the file of its service.
type writer struct {
	out       *logfile.Lines
	file      *logfile.File
	lines     *atomic.Int64 // counts them
	unflushed int
}

// line writes a line. A container's output waits in the daemon's files, and the log's buffer is bounded: what piled up
// while there was no master must not be faster than the disk.
func (w *writer) line(ctx context.Context, stream int, at time.Time, text string) {
	w.out.Line(at.Local(), streamNames[stream], text)
	w.lines.Add(1)
	if w.unflushed += len(text); w.unflushed > flushBytes && w.file.Trouble() == nil {
		w.unflushed = 0
		bounded, cancel := context.WithTimeout(ctx, flushWithin)
		_ = w.file.Flush(bounded) // a disk that hangs: the buffer drops the oldest, and says so
		cancel()
	}
}

// copyOutput writes the output of a container from the place on until it ends; nil: the daemon has no more.
func (e *Engine) copyOutput(ctx context.Context, id string, from *place, follow bool, to *writer) error {
	ask := func(since string, more bool) (io.ReadCloser, error) {
		return e.api.ContainerLogs(ctx, id, container.LogsOptions{
			ShowStdout: true, ShowStderr: true, Follow: follow && more, Timestamps: true, Since: since,
		})
	}
	return from.read(ask, func(stream int, at time.Time, text string) { to.line(ctx, stream, at, text) })
}

// frames reads what the daemon sends: frames of a stream (stdcopy), each a line with its time, or a part of a long one.
// It calls line with each whole line, without its end. Streams are 0 for stdout and 1 for stderr.
func frames(r io.Reader, line func(stream int, at time.Time, text string)) error {
	in := bufio.NewReader(r)
	var half [2][]byte
	var since [2]time.Time
	finish := func(n int) {
		if len(half[n]) > 0 {
			line(n, since[n], string(bytes.TrimRight(half[n], "\r\n")))
			half[n] = half[n][:0]
		}
	}
	var head [8]byte
	var frame []byte
	for {
		if _, err := io.ReadFull(in, head[:]); err != nil {
			if !errors.Is(err, io.EOF) {
				return err
			}
			finish(0)
			finish(1)
			return nil
		}
		size := binary.BigEndian.Uint32(head[4:])
		if size > frameLimit || head[0] > byte(stdcopy.Systemerr) {
			return fmt.Errorf("read output of container: frame of stream %d with %d bytes", head[0], size)
		}
		if cap(frame) < int(size) {
			frame = make([]byte, size)
		}
		frame = frame[:size]
		if _, err := io.ReadFull(in, frame); err != nil {
			return err
		}
		if stdcopy.StdType(head[0]) == stdcopy.Systemerr {
			return fmt.Errorf("read output of container: %s", frame)
		}
		n := 0
		if stdcopy.StdType(head[0]) == stdcopy.Stderr {
			n = 1
		}
		stamp, text, _ := bytes.Cut(frame, []byte(" "))
		at, err := time.Parse(time.RFC3339Nano, string(stamp))
		if err != nil {
			return fmt.Errorf("read output of container: %w", err)
		}
		if len(half[n]) == 0 {
			since[n] = at
		}
		half[n] = append(half[n], text...)
		if bytes.HasSuffix(text, []byte("\n")) || len(half[n]) > lineLimit {
			finish(n)
		}
	}
}
