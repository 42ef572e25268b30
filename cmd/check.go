package cmd

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/baetyl/baetyl/master"
	"github.com/baetyl/baetyl/utils/conf"
)

func checkCommand(e *env) *cobra.Command {
	var config string
	c := &cobra.Command{
		Use: "check", Short: "Validate configuration and application, change nothing", Args: noArgs,
		Long: "Say whether a master can start with the configuration and the application of this device, and change\n" +
			"nothing. It prints OK! and warnings, or the error, with status 1.",
		Example: "  baetyl check\n  baetyl check -w /usr/local -c etc/baetyl/conf.yml",
		RunE:    func(*cobra.Command, []string) error { return e.check(config) },
	}
	configFlag(c, &config)
	return c
}

func (e *env) check(config string) error {
	dir, path, err := e.config(config)
	if err != nil {
		return err
	}
	if err := findConfig(dir, path, isCandidate(), e.Stderr); err != nil {
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
	e.Out.Says("OK!")
	for _, line := range append(warnings, more...) {
		fmt.Fprintln(e.Stderr, "warning:", line)
	}
	return nil
}

// configFlag adds -c.
func configFlag(c *cobra.Command, config *string) {
	c.Flags().StringVarP(config, "config", "c", master.ConfigFile,
		"configuration file, relative to the working directory; one that is named has to exist")
}

// config returns the working directory, and the path of the configuration file that -c names.
func (e *env) config(given string) (dir, path string, err error) {
	if dir, err = e.Dir(); err != nil {
		return "", "", err
	}
	if !filepath.IsAbs(given) {
		given = filepath.Join(dir, given)
	}
	return dir, filepath.Clean(given), nil
}
