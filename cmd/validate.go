package cmd

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/baetyl/baetyl/cmd/out"
	"github.com/baetyl/baetyl/master"
	"github.com/baetyl/baetyl/master/rules"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

func validateCommand(e *env) *cobra.Command {
	var mode string
	c := &cobra.Command{
		Use: "validate FILE|DIR|PACKAGE|-", Short: "Check an application without a master", Args: cobra.ExactArgs(1),
		Long: "Check the application in FILE as an update does, without a master and without a change. An error names the\n" +
			"line, the key, what is allowed and what to do; the status is 78 then.",
		Example: "  baetyl validate application.yml\n  baetyl validate --mode docker - < application.yml",
		RunE: func(c *cobra.Command, args []string) error {
			if mode != "" && mode != masterapi.ModeDocker && mode != masterapi.ModeNative {
				return misused("--mode: is %q; use %s or %s", mode, masterapi.ModeDocker, masterapi.ModeNative)
			}
			s, err := e.open(args[0])
			if err != nil {
				return err
			}
			defer s.close()
			if mode == "" {
				mode = e.mode()
			}
			var broken []error
			for _, text := range rules.Check(s.app, mode) {
				broken = append(broken, fmt.Errorf("%s: %s", s.name, text))
			}
			if err := errors.Join(broken...); err != nil {
				return misconfigured(err)
			}
			v := validated{File: s.name, Mode: mode, Version: s.app.Version, Services: len(s.app.Services)}
			return e.Out.Print(v, func(r *out.Rows) {
				r.Add(fmt.Sprintf("OK! %s: version %q, %d services, mode %s", v.File, v.Version, v.Services, v.Mode))
			})
		},
	}
	c.Flags().StringVar(&mode, "mode", "", "docker or native (default: that of this device)")
	e.formatFlag(c)
	return c
}

// validated is what validate says of a good file.
type validated struct {
	File     string `json:"file"`
	Mode     string `json:"mode"`
	Version  string `json:"version,omitempty"`
	Services int    `json:"services"`
}

// mode is that of the device, or of one without a configuration.
func (e *env) mode() string {
	dir, err := e.Dir()
	if err != nil {
		return masterapi.ModeDocker
	}
	c, err := master.LoadConfig(filepath.Join(dir, master.ConfigFile))
	if err != nil || c.Mode == "" {
		return masterapi.ModeDocker
	}
	return c.Mode
}
