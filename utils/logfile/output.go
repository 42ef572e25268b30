package logfile

import (
	"fmt"
	"io"
)

// Checked is the output of a command, which people and programs rely on: it remembers the first write that failed, as
// on a full disk, so that the command can end with another status. One goroutine writes.
type Checked struct {
	to  io.Writer
	err error
}

// NewChecked returns what writes to w.
func NewChecked(w io.Writer) *Checked { return &Checked{to: w} }

// Write passes p on.
func (c *Checked) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	if c.err == nil {
		c.err = err
	}
	return n, err
}

// Err returns why the output is not whole; nil: it is.
func (c *Checked) Err() error {
	if c.err == nil {
		return nil
	}
	return fmt.Errorf("write the output, which is not whole: %w", c.err)
}
