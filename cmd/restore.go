package cmd

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/baetyl/baetyl/cmd/out"
	"github.com/baetyl/baetyl/master"
	"github.com/baetyl/baetyl/master/backup"
)

func restoreCommand(e *env) *cobra.Command {
	var o backup.RestoreOptions
	var yes bool
	c := &cobra.Command{
		Use: "restore FILE|-", Short: "Make this device the one of a backup", Args: cobra.ExactArgs(1),
		Long: "Make this device the one of which FILE is a backup. No master may run here. All of FILE is verified before\n" +
			"anything is touched. A device that has an application is refused; with --force what is there is moved\n" +
			"aside, into folders before-restore-<time> beside it, and never removed. A restore that is interrupted\n" +
			"is finished, or undone, by the next one and by the next start of the master.",
		Example: "  baetyl restore gateway.tar.gz --dry-run\n  baetyl restore gateway.tar.gz && systemctl start baetyl\n" +
			"  baetyl restore gateway.tar.gz --force --yes",
		RunE: func(_ *cobra.Command, args []string) error { return e.restore(args[0], o, yes) },
	}
	c.Flags().BoolVar(&o.Force, "force", false, "move an application that is there aside")
	c.Flags().BoolVar(&o.DryRun, "dry-run", false, "verify FILE and say what would happen, change nothing")
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

func (e *env) restore(path string, o backup.RestoreOptions, yes bool) error {
	dir, err := e.Dir()
	if err != nil {
		return err
	}
	o.Workdir = dir
	in, err := e.archiveFile(path, dir)
	if err != nil {
		return err
	}
	defer in.Close()
	if !o.DryRun {
		lock, err := master.Lock(dir)
		if err != nil {
			return err
		}
		defer lock.Close()
	}
	first := o
	first.DryRun = true
	r, err := backup.Restore(in, first)
	if err != nil {
		return e.explainRestore(path, err)
	}
	m := r.Manifest
	e.warn(r.Warnings)
	from := fmt.Sprintf("%s is the device %s of %s: mode %s, version %s, %d files, %d MB", path, m.Host,
		m.Made.Format(time.RFC3339), m.Mode, m.Version, m.Files(), (m.Bytes()+1<<20-1)>>20)
	if o.DryRun {
		e.Out.Says("%s", from)
		e.Out.Says("nothing has been changed; a restore would%s replace %s in %s", aside(r), strings.Join(m.Roots, ", "), dir)
		return nil
	}
	if r.Aside != "" && o.Force && !yes {
		if err := e.confirm(from + fmt.Sprintf("\nreplace what is in %s by it, and move that aside?", dir)); err != nil {
			return err
		}
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if r, err = backup.Restore(in, o); err != nil {
		return e.explainRestore(path, err)
	}
	e.Out.Says("%s", from)
	if r.Aside != "" {
		e.Out.Says("what was there is in folders %s, below %s", r.Aside, dir)
	}
	e.Out.Says("start the master: systemctl start baetyl, or baetyl start")
	return nil
}

func aside(r backup.Restored) string {
	if r.Aside == "" {
		return ""
	}
	return " move what is there aside, and"
}

func (e *env) explainRestore(path string, err error) error {
	if errors.Is(err, backup.ErrOccupied) {
		return err
	}
	return fmt.Errorf("restore %s: %w", path, err)
}

// archiveFile opens a backup. What comes over a pipe goes into a file without a name first, since it is read twice.
func (e *env) archiveFile(path, dir string) (*os.File, error) {
	if path != "-" {
		return os.Open(path)
	}
	f, err := os.CreateTemp(dir, ".restore-")
	if err == nil {
		err = os.Remove(f.Name())
	}
	if err != nil {
		return nil, err
	}
	if _, err = io.Copy(f, e.Stdin); err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read the backup into %s: %w", filepath.Clean(dir), err), f.Close())
	}
	return f, nil
}

// confirm asks a person; where none sits there, the flag has to say it.
func (e *env) confirm(question string) error {
	in, ok := e.Stdin.(*os.File)
	if !ok || !out.IsTerminal(in) {
		return misused("this needs a yes, and nobody can be asked here: add --yes")
	}
	fmt.Fprintf(e.Stderr, "%s [y/N] ", out.Block(question))
	answer, _ := bufio.NewReader(io.LimitReader(in, 100)).ReadString('\n')
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return errors.New("nothing has been changed")
	}
	return nil
}
