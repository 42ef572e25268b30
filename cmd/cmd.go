// Package cmd is the command line of the master.
//
//	baetyl start    run in the foreground until SIGTERM or SIGINT
//	baetyl restart  replace the running master alone
//	baetyl prune    remove images, networks and volumes that nobody uses
//	baetyl reload   make the running master read its configuration again
//	baetyl check    validate configuration and application, change nothing
//	baetyl version  print what this binary is
package cmd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/baetyl/baetyl/keeper"
	"github.com/baetyl/baetyl/master"
	"github.com/baetyl/baetyl/master/ota"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/logfile"
)

// Version and Revision are set by the linker.
var (
	Version  string
	Revision string
)

// Main is Execute for this process. What it says at the end waits for no console.
func Main() int { return Execute(os.Args[1:], os.Stdout, logfile.LastWords{}) }

// Execute runs the command that args (os.Args without the program) name, and returns the exit status.
func Execute(args []string, stdout, stderr io.Writer) int {
	var workdir, config string
	root := &cobra.Command{
		Use:               "baetyl",
		Short:             "Baetyl " + Version + ": runs the services of an application on an edge device",
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	said := logfile.NewChecked(stdout)
	stdout = said
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	located := func(run func(dir, config string) error) func(*cobra.Command, []string) error {
		return func(*cobra.Command, []string) error {
			dir, err := findWorkdir(workdir)
			if err != nil {
				return err
			}
			path := config
			if !filepath.IsAbs(path) {
				path = filepath.Join(dir, path)
			}
			return run(dir, filepath.Clean(path))
		}
	}
	start := &cobra.Command{
		Use: "start", Short: "Run the master in the foreground", Args: cobra.NoArgs,
		RunE: located(func(dir, path string) error { return runMaster(dir, path, stderr) }),
	}
	check := &cobra.Command{
		Use: "check", Short: "Validate configuration and application, change nothing", Args: cobra.NoArgs,
		RunE: located(func(dir, path string) error {
			if err := findConfig(dir, path, isCandidate(), stderr); err != nil {
				return err
			}
			var warnings []string
			say := func(text string) { warnings = append(warnings, text) }
			cfg, err := master.Check(dir, path, conf.Warn(say))
			if isCandidate() && (errors.Is(err, conf.ErrEmpty) || errors.Is(err, conf.ErrDangling)) {
				say(err.Error()) // the master that runs may be one that took it for an empty application
				err = nil
			}
			if err != nil {
				return err
			}
			more, err := advice(cfg, dir)
			if err != nil {
				return err
			}
			// First: a running master looks for this text, in the first 4 KB, when it tries a new binary.
			fmt.Fprintln(stdout, "OK!")
			for _, line := range append(warnings, more...) {
				fmt.Fprintln(stderr, "warning:", line)
			}
			return nil
		}),
	}
	for _, c := range []*cobra.Command{start, check} {
		c.Flags().StringVarP(&workdir, "workdir", "w", "",
			"working directory (default: parent of the folder of this program)")
		c.Flags().StringVarP(&config, "config", "c", master.ConfigFile,
			"configuration file, relative to the working directory; one that is named has to exist")
	}
	version := &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		Run: func(*cobra.Command, []string) {
			fmt.Fprintf(stdout, "Version:      %s\nGit revision: %s\nGo version:   %s\nPlatform:     %s\n%-13s %d\n\n",
				Version, Revision, runtime.Version(), platform(), ota.KeeperLine, keeper.Protocol)
		},
	}
	root.AddCommand(start, check, version)
	root.AddCommand(adminCommands(stdout)...)
	err := root.Execute()
	if err == nil { // whoever reads OK! has to get it
		err = said.Err()
	}
	if err != nil {
		fmt.Fprintln(stderr, "baetyl:", err)
		if f := (failure{}); errors.As(err, &f) {
			return f.status
		}
		return 1
	}
	return 0
}

// platform is os/arch, with the variant that this binary was built for where there is one.
func platform() string {
	if runtime.GOARCH == "arm" && goarm() != "" {
		return runtime.GOOS + "/arm/v" + goarm()
	}
	return runtime.GOOS + "/" + runtime.GOARCH
}
