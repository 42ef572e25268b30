package cmd

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/baetyl/baetyl/master"
	"github.com/baetyl/baetyl/master/bundle"
	"github.com/baetyl/baetyl/master/doctor"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

func bundleCommand(e *env) *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use: "support-bundle FILE|-", Short: "Collect what support needs in one file, without secrets",
		Args: cobra.ExactArgs(1),
		Long: "Write findings of the doctor, what runs, configuration, application, history, logs and facts of the\n" +
			"machine into FILE, a tar.gz. Passwords, tokens and keys are replaced by *** wherever they stand. There are at\n" +
			"most 32 MB, with the newest logs. manifest.json in it lists the files, and where something was taken out.\n" +
			"It works without a master. Read it before you send it: a secret that stands nowhere as one is not known.",
		Example: "  baetyl support-bundle bundle.tar.gz\n  baetyl support-bundle - | ssh support 'cat >gateway7.tar.gz'",
		RunE: func(c *cobra.Command, args []string) error {
			var m bundle.Manifest
			err := e.save(c.Context(), archive{
				path: args[0], force: force, route: masterapi.PathSupportBundle,
				local: func(ctx context.Context, dir string, w io.Writer) error {
					config := filepath.Join(dir, master.ConfigFile)
					cfg, _ := master.LoadConfig(config) // why it is wrong is a finding
					o := master.BundleOptions(cfg, dir, config, Version, Revision)
					o.Examination = doctor.Examine(ctx, e.local(dir))
					_, err := bundle.Write(ctx, w, o)
					return err
				},
				check: func(in io.Reader) (err error) {
					m, err = bundle.Verify(in)
					return err
				},
			})
			if err != nil {
				return err
			}
			var missing []string
			for _, f := range m.Files {
				if f.Error != "" {
					missing = append(missing, fmt.Sprintf("%s is not whole: %s", f.Name, f.Error))
				}
			}
			e.warn(missing)
			if m.LeftOut > 0 {
				e.warn([]string{fmt.Sprintf("there was no room for %d older logs", m.LeftOut)})
			}
			if args[0] != "-" {
				e.Out.Says("%s: %d files, secrets taken out at %d places", args[0], len(m.Files), m.Redacted)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&force, "force", false, "replace FILE where it is there")
	return c
}
