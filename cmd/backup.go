package cmd

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/baetyl/baetyl/cmd/out"
	"github.com/baetyl/baetyl/master"
	"github.com/baetyl/baetyl/master/backup"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

func backupCommand(e *env) *cobra.Command {
	var force bool
	var r masterapi.BackupRequest
	c := &cobra.Command{
		Use: "backup FILE|-", Short: "Put the whole device into one file, while it runs", Args: cobra.ExactArgs(1),
		Long: "Write configuration, application, history, volumes and stores into FILE, a tar.gz, while services run.\n" +
			"They are frozen for a moment (at most 8 seconds, usually far less), so that all files are of one moment. The\n" +
			"file holds passwords and keys; its mode is 0600. `baetyl restore` makes a device of it.",
		Example: "  baetyl backup gateway.tar.gz\n  baetyl backup - | ssh store 'cat >gateway.tar.gz'",
		RunE: func(c *cobra.Command, args []string) error {
			var m backup.Manifest
			err := e.save(c.Context(), archive{
				path: args[0], force: force, route: masterapi.PathBackup, in: r,
				local: func(ctx context.Context, dir string, w io.Writer) error {
					cfg, err := master.LoadConfig(filepath.Join(dir, master.ConfigFile))
					if err == nil {
						_, err = backup.Write(ctx, w, master.BackupOptions(cfg, dir, Version, Revision, r.Logs))
					}
					return err
				},
				check: func(in io.Reader) (err error) {
					m, err = backup.Verify(in)
					return err
				},
			})
			if err != nil {
				return err
			}
			e.warn(leftOut(m))
			if args[0] == "-" {
				return nil
			}
			e.Out.Says("%s: %d files, %d MB, of %s; services were frozen for %s", args[0], m.Files(), (m.Bytes()+1<<20-1)>>20,
				m.Host, m.Frozen.Round(1e6))
			return nil
		},
	}
	c.Flags().BoolVar(&force, "force", false, "replace FILE where it is there")
	c.Flags().BoolVar(&r.Logs, "logs", false, "also logs: var/log/baetyl, and volumes that only hold logs")
	return c
}

// leftOut says what is not in a backup.
func leftOut(m backup.Manifest) (lines []string) {
	for _, l := range m.LeftOut {
		lines = append(lines, fmt.Sprintf("%s is not in the backup: %s", l.Path, l.Why))
	}
	return lines
}

// warn says what a person should know, at most 20 lines of it.
func (e *env) warn(lines []string) {
	for i, l := range lines {
		if i == 20 {
			fmt.Fprintf(e.Stderr, "warning: and %d more\n", len(lines)-i)
			return
		}
		fmt.Fprintln(e.Stderr, "warning:", out.Block(l))
	}
}
