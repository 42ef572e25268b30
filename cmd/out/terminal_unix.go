//go:build linux || darwin

package out

import (
	"os"

	"golang.org/x/sys/unix"
)

// IsTerminal tells whether a person sits at f.
func IsTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), getTermios)
	return err == nil
}

// Size is that of the terminal f, in columns and lines; 80 and 24 where it does not say.
func Size(f *os.File) (columns, lines int) {
	s, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil || s.Col == 0 || s.Row == 0 {
		return 80, 24
	}
	return int(s.Col), int(s.Row)
}
