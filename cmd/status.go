package cmd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/baetyl/baetyl/cmd/out"
	"github.com/baetyl/baetyl/master/application"
	"github.com/baetyl/baetyl/master/doctor"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/conf"
	"github.com/baetyl/baetyl/utils/file"
)

// status is the state of a device in a few lines, and the body of -o json.
type status struct {
	Master      string     `json:"master"` // running, or absent
	Workdir     string     `json:"workdir"`
	Version     string     `json:"version,omitempty"`
	Mode        string     `json:"mode,omitempty"`
	Since       *time.Time `json:"since,omitempty"`
	Application string     `json:"application,omitempty"` // its version
	Error       string     `json:"error,omitempty"`       // why it, or its last update, is not as wanted
	Update      string     `json:"update,omitempty"`      // what an update that runs does now
	Services    int        `json:"services"`
	Running     int        `json:"running"`
	Failing     []failing  `json:"failing,omitempty"`
	Stopped     []failing  `json:"stopped,omitempty"` // by hand: as somebody wants it

	Logins []doctor.Login `json:"logins,omitempty"` // of hubs, whose password lies in a file; maxLogins at most
}

// maxLogins is how many logins status names.
const maxLogins = 10

// failing is a service that is not as it should be.
type failing struct {
	Name  string `json:"name"`
	State string `json:"state"`
	Error string `json:"error,omitempty"`
}

func statusCommand(e *env) *cobra.Command {
	var password bool
	c := &cobra.Command{
		Use: "status", Short: "Say how the device is", Args: noArgs,
		Long: "Say how the device is: the master, the application, and the services that are not as they should be.\n" +
			"The status is 1 when no master runs, when the application is not as wanted, or when a service has failed.\n\n" +
			"Where the password of a hub's user lies in a file, as a package makes one, it says which. --password shows\n" +
			"the password itself to whoever may read that file, which is root where nobody has changed it.",
		Example: "  baetyl status\n  baetyl status -o json\n  sudo baetyl status --password",
		RunE: func(c *cobra.Command, _ []string) error {
			s, err := e.status(c.Context())
			if err != nil {
				return err
			}
			if password {
				if err := s.readPasswords(); err != nil {
					return err
				}
			}
			if err := e.Out.Print(s, func(r *out.Rows) { s.table(r, time.Now()) }); err != nil {
				return err
			}
			if !s.good() {
				return failure{errors.New(""), statusFailed} // it has been said
			}
			return nil
		},
	}
	c.Flags().BoolVar(&password, "password", false, "show the passwords of hubs that lie in files")
	e.formatFlag(c)
	return c
}

// status asks the master, which need not be there.
func (e *env) status(ctx context.Context) (s status, err error) {
	if s.Workdir, err = e.Dir(); err != nil {
		return s, err
	}
	var all masterapi.Inspect
	var list masterapi.Services
	var update masterapi.UpdateState
	err = e.ask(ctx, func(ctx context.Context, c *http.Client) error {
		if err := c.Get(ctx, masterapi.PathServices, &list); err != nil {
			return err
		}
		if err := c.Get(ctx, masterapi.PathUpdate, &update); err != nil {
			return err
		}
		return c.Get(ctx, masterapi.PathInspect, &all)
	})
	s.Master = "running"
	if errors.As(err, &noMaster{}) {
		s.Master = "absent"
		return s, nil
	}
	s.Version, s.Mode, s.Since = all.Software.BinVersion, all.Software.Mode, all.Software.StartTime
	s.Application, s.Error, s.Services = all.Software.ConfVersion, all.Error, len(list.Services)
	if steps := update.Steps; update.Running && len(steps) > 0 {
		s.Update = steps[len(steps)-1].Text
	}
	for _, one := range list.Services {
		if one.Stopped != nil {
			s.Stopped = append(s.Stopped, failing{one.Name, one.State, byHand(one)})
			continue
		}
		switch one.State {
		case masterapi.StatusRunning:
			s.Running++
		case masterapi.StateIdle, masterapi.StatusExited:
		default:
			s.Failing = append(s.Failing, failing{one.Name, one.State, why(one)})
		}
	}
	// Whoever may not read the application is told of no login.
	runs, _, _ := application.Choose(file.OS, s.Workdir)
	logins := doctor.Logins(doctor.Options{Workdir: s.Workdir, Mode: s.Mode, Application: runs})
	s.Logins = logins[:min(len(logins), maxLogins)]
	return s, err
}

// readPasswords adds the passwords to the logins.
func (s *status) readPasswords() (err error) {
	for i := range s.Logins {
		l := &s.Logins[i]
		if l.Password, _, err = conf.ReadSecret(l.PasswordFile); err != nil {
			return fmt.Errorf("the password of %s: %s: %w", l, l.PasswordFile, err)
		}
	}
	return nil
}

// why is what is wrong with a service.
func why(s masterapi.ServiceStatus) string {
	for _, i := range s.Instances {
		if text := reason(s, &i); text != "" {
			return text
		}
	}
	return reason(s, nil)
}

func (s status) good() bool { return s.Master == "running" && s.Error == "" && len(s.Failing) == 0 }

func (s status) table(r *out.Rows, now time.Time) {
	line := func(name string, c out.Colour, format string, args ...any) {
		r.Add(out.Cell{Text: name, Colour: out.Head}, out.Cell{Text: fmt.Sprintf(format, args...), Colour: c})
	}
	if s.Master != "running" {
		line("master", out.Bad, "does not run in %s", s.Workdir)
		return
	}
	since := "?"
	if s.Since != nil {
		since = ago(*s.Since, now)
	}
	line("master", out.Good, "runs since %s, version %s, mode %s, in %s", since, versionText(s.Version), s.Mode, s.Workdir)
	application := versionText(s.Application)
	if s.Error != "" {
		line("application", out.Bad, "%s: %s", application, firstLine(s.Error))
	} else {
		line("application", out.Plain, "%s", application)
	}
	if s.Update != "" {
		line("update", out.Warn, "%s", firstLine(s.Update))
	}
	line("services", out.Plain, "%d, of which %d run", s.Services, s.Running)
	for _, f := range append(s.Failing, s.Stopped...) {
		why := firstLine(f.Error)
		if why != "" {
			why = ": " + why
		}
		line("  "+f.Name, stateCell(f.State).Colour, "%s%s", f.State, why)
	}
	for _, l := range s.Logins {
		where := "in " + l.PasswordFile + " (baetyl status --password shows it)"
		if l.Password != "" {
			where = l.Password
		}
		line("login", out.Plain, "%s, password %s", l, where)
	}
}

// versionText is a version as people read it.
func versionText(version string) string {
	if version == "" {
		return "without a version"
	}
	return version
}

// overview is what `baetyl` alone says: how the device is, and what to type next.
func (e *env) overview(ctx context.Context) error {
	s, err := e.status(ctx)
	if err != nil {
		return err
	}
	err = e.Out.Print(s, func(r *out.Rows) { s.table(r, time.Now()) })
	if err != nil {
		return err
	}
	e.Out.Says("")
	for _, next := range s.next() {
		e.Out.Says("  %s  %s", fmt.Sprintf("%-34s", next[0]), next[1])
	}
	return nil
}

// next are commands that help with s, each with what it does.
func (s status) next() [][2]string {
	if s.Master != "running" {
		return [][2]string{
			{"systemctl start baetyl", "start the device's service; without systemd: baetyl start"},
			{"baetyl check", "validate configuration and application"},
			{"baetyl doctor", "find out what is in the way"},
			{"baetyl --help", "all commands"},
		}
	}
	var out [][2]string
	for n, f := range s.Failing {
		if n == 3 {
			break
		}
		out = append(out, [2]string{"baetyl logs --tail 50 " + f.Name, "what it has written"})
	}
	if s.Error != "" {
		out = append(out, [2]string{"baetyl history", "what was applied, and what became of it"})
	}
	if len(s.Failing) > 0 {
		out = append(out, [2]string{"baetyl events --since 1h", "what has happened"})
	}
	if s.Services == 0 {
		out = append(out, [2]string{"baetyl apply FILE", "run an application"})
	}
	return append(out, [2]string{"baetyl ps", "services and instances"}, [2]string{"baetyl --help", "all commands"})
}
