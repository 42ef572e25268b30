package cmd

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/baetyl/baetyl/cmd/out"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// screen is the terminal of a person.
type screen struct {
	file   *os.File
	before *unix.Termios // nil: it is as it was
}

func newScreen(f *os.File) *screen { return &screen{file: f} }

func (s *screen) size() masterapi.ExecSize {
	columns, rows := out.Size(s.file)
	return masterapi.ExecSize{Rows: uint16(rows), Columns: uint16(columns)}
}

// raw lets every key go to the command (cfmakeraw(3)).
func (s *screen) raw() error {
	now, err := unix.IoctlGetTermios(int(s.file.Fd()), getTermios)
	if err != nil {
		return fmt.Errorf("read the mode of the terminal: %w", err)
	}
	if s.before == nil {
		before := *now
		s.before = &before
	}
	now.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	now.Oflag &^= unix.OPOST
	now.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	now.Cflag = now.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	now.Cc[unix.VMIN], now.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(int(s.file.Fd()), setTermios, now); err != nil {
		return fmt.Errorf("set the mode of the terminal: %w", err)
	}
	return nil
}

// restore makes the terminal what it was.
func (s *screen) restore() {
	if s.before != nil {
		_ = unix.IoctlSetTermios(int(s.file.Fd()), setTermios, s.before) // fails when it is gone
		s.before = nil
	}
}
