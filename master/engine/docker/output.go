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
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
)

const (
	lineLimit   = 1 << 20   // bytes of a line that are held until its end
	frameLimit  = 1 << 20   // bytes of one frame; the daemon's are 16 KiB
	flushBytes  = 256 << 10 // after so much output the disk has to keep up
	flushWithin = time.Second
)

// read follows the output until the container has ended or ctx ends. After an outage of the daemon, as after the end of
// an earlier master, it goes on where the file ends.
func (i *instance) read(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		opened := time.Now()
		err := i.follow(ctx)
		if errdefs.IsNotFound(err) || err == nil && isClosed(i.ended) {
			return
		}
		if time.Since(opened) > again.Max {
			n = 0
		}
		select {
		case <-ctx.Done():
		case <-i.ended: // what is left is read once more
		case <-time.After(again.Delay(n, 0)):
		}
		if isClosed(i.ended) && n > 0 && err != nil {
			return
		}
	}
}

// follow reads the output from the place on until it ends; nil: the daemon has no more.
func (i *instance) follow(ctx context.Context) error {
	ask := func(since string, follow bool) (io.ReadCloser, error) {
		return i.engine.api.ContainerLogs(ctx, i.id, container.LogsOptions{
			ShowStdout: true, ShowStderr: true, Follow: follow, Timestamps: true, Since: since,
		})
	}
	unflushed := 0
	return i.place.read(ask, func(stream int, at time.Time, text string) {
		i.out.Line(at.Local(), streamNames[stream], text)
		// A container's output waits in the daemon's files, and the log's buffer is bounded: what piled up while there was
		// no master must not be faster than the disk.
		if unflushed += len(text); unflushed > flushBytes {
			unflushed = 0
			bounded, cancel := context.WithTimeout(ctx, flushWithin)
			_ = i.file.Flush(bounded) // a disk that hangs: the buffer drops the oldest, and says so
			cancel()
		}
	})
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
