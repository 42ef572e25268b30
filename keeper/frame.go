//go:build unix

package keeper

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// A frame is 4 bytes with the length of its JSON, 4 bytes with the number of descriptors that belong to it, both big
// endian, and the JSON. Descriptors travel with the first byte.
const (
	frameHeader = 8
	maxFrame    = 16 << 20 // bytes of JSON
	maxFiles    = 200      // descriptors of a frame; the kernel allows 253
)

var errFrame = errors.New("the other side does not speak the protocol of the keeper")

// encode returns the frame of v.
func encode(v any, files int) ([]byte, error) {
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	if len(text) > maxFrame || files > maxFiles {
		return nil, fmt.Errorf("%d bytes with %d descriptors are too large for the keeper", len(text), files)
	}
	frame := make([]byte, frameHeader, frameHeader+len(text))
	binary.BigEndian.PutUint32(frame, uint32(len(text)))
	binary.BigEndian.PutUint32(frame[4:], uint32(files))
	return append(frame, text...), nil
}

// incoming cuts frames out of a connection. What it has read and not returned survives an error, such as a deadline.
type incoming struct {
	conn  *net.UnixConn
	bytes []byte
	files []int // received, in the order of the frames
}

// next returns the JSON of the next frame and its descriptors, which the caller closes.
func (in *incoming) next() (text []byte, files []int, err error) {
	for {
		text, files, ok, err := in.cut()
		if ok || err != nil {
			return text, files, err
		}
		if err := in.fill(); err != nil {
			return nil, nil, err
		}
	}
}

// cut takes the first frame out of what has been read, if it is complete.
func (in *incoming) cut() (text []byte, files []int, ok bool, err error) {
	if len(in.bytes) < frameHeader {
		return nil, nil, false, nil
	}
	size, count := int(binary.BigEndian.Uint32(in.bytes)), int(binary.BigEndian.Uint32(in.bytes[4:]))
	if size > maxFrame || count > maxFiles || size < 0 || count < 0 {
		return nil, nil, false, errFrame
	}
	if len(in.bytes) < frameHeader+size {
		return nil, nil, false, nil
	}
	if len(in.files) < count {
		return nil, nil, false, errFrame
	}
	text = in.bytes[frameHeader : frameHeader+size]
	in.bytes = in.bytes[frameHeader+size:]
	if len(in.bytes) == 0 {
		in.bytes = nil // a large frame does not stay in memory
	}
	files, in.files = in.files[:count:count], in.files[count:]
	return text, files, true, nil
}

func (in *incoming) fill() error {
	chunk := make([]byte, 4096)
	rights := make([]byte, syscall.CmsgSpace(4*maxFiles))
	n, oobn, _, _, err := in.conn.ReadMsgUnix(chunk, rights)
	if oobn > 0 {
		in.files = append(in.files, received(rights[:oobn])...)
	}
	in.bytes = append(in.bytes, chunk[:max(n, 0)]...)
	if err != nil {
		return err
	}
	if n == 0 {
		return net.ErrClosed
	}
	return nil
}

// received returns the descriptors that came with a message.
func received(rights []byte) (files []int) {
	messages, err := syscall.ParseSocketControlMessage(rights)
	if err != nil {
		return nil
	}
	for _, m := range messages {
		if fds, err := syscall.ParseUnixRights(&m); err == nil {
			files = append(files, fds...)
		}
	}
	return files
}

// putBack undoes next.
func (in *incoming) putBack(text []byte, files []int) {
	frame := make([]byte, frameHeader, frameHeader+len(text)+len(in.bytes))
	binary.BigEndian.PutUint32(frame, uint32(len(text)))
	binary.BigEndian.PutUint32(frame[4:], uint32(len(files)))
	in.bytes = append(append(frame, text...), in.bytes...)
	in.files = append(files, in.files...)
}

// drop closes what was received and belongs to no frame that was taken.
func (in *incoming) drop() {
	closeAll(in.files)
	in.files = nil
}

func closeAll(files []int) {
	for _, fd := range files {
		_ = syscall.Close(fd)
	}
}

// send writes a frame, its descriptors with the first byte. n tells how much of it has left.
func send(conn *net.UnixConn, frame []byte, files []int) (n int, err error) {
	if len(files) > 0 {
		if n, _, err = conn.WriteMsgUnix(frame, syscall.UnixRights(files...), nil); err != nil {
			return n, err
		}
	}
	rest, err := conn.Write(frame[n:])
	return n + rest, err
}
