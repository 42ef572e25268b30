package cmd

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/baetyl/baetyl/cmd/out"
	"github.com/baetyl/baetyl/keeper"
	"github.com/baetyl/baetyl/master"
	"github.com/baetyl/baetyl/master/doctor"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
	"github.com/baetyl/baetyl/utils/log"
)

func doctorCommand(e *env) *cobra.Command {
	var only, skip []string
	var list, network bool
	c := &cobra.Command{
		Use: "doctor", Short: "Say what is wrong with this device, and what to do", Args: noArgs,
		Long: "Examine the device, from its sockets to its disk, clock, certificates and routes. Nothing is changed, and\n" +
			"without --network nothing leaves the device. It works without a master. The status is 1 when something\n" +
			"does not work (severity error), and 0 otherwise.",
		Example: "  baetyl doctor\n  baetyl doctor --only certificates,disk -o json\n  baetyl doctor --skip clock\n" +
			"  baetyl doctor --list",
		RunE: func(c *cobra.Command, _ []string) error {
			if list {
				return e.listChecks()
			}
			if unknown := doctor.Unknown(slices.Concat(only, skip)); len(unknown) > 0 {
				return misused("there is no check %s; baetyl doctor --list shows them", unknown[0])
			}
			found, err := e.examine(c.Context(), only, skip, network)
			if err != nil {
				return err
			}
			if err := e.Out.Print(found, func(r *out.Rows) { diagnosis(r, found) }); err != nil {
				return err
			}
			if doctor.Worst(found) == masterapi.SeverityError {
				return failure{errors.New(""), statusFailed}
			}
			return nil
		},
	}
	c.Flags().StringSliceVar(&only, "only", nil, "ids of checks: these and no others")
	c.Flags().StringSliceVar(&skip, "skip", nil, "ids of checks: all but these")
	c.Flags().BoolVar(&list, "list", false, "show the checks, examine nothing")
	c.Flags().BoolVar(&network, "network", false, "also checks that reach for the network: names, brokers, the cloud")
	complete := cobra.FixedCompletions(doctor.IDs(), cobra.ShellCompDirectiveNoFileComp)
	_, _ = c.RegisterFlagCompletionFunc("only", complete), c.RegisterFlagCompletionFunc("skip", complete)
	e.formatFlag(c)
	return c
}

func (e *env) listChecks() error {
	type check struct {
		ID   string `json:"id"`
		What string `json:"what"`
	}
	checks := []check{}
	for _, c := range doctor.Checks {
		checks = append(checks, check{c.ID, c.What})
	}
	return e.Out.Print(checks, func(r *out.Rows) {
		r.Head("ID", "WHAT IS EXAMINED")
		for _, c := range checks {
			r.Add(c.ID, c.What)
		}
	})
}

// diagnosis is the table: what is wrong first.
func diagnosis(r *out.Rows, found masterapi.Examination) {
	order := []string{masterapi.SeverityError, masterapi.SeverityWarning, masterapi.SeverityInfo, masterapi.SeverityOK}
	sorted := slices.Clone(found.Findings)
	slices.SortStableFunc(sorted, func(a, b masterapi.Finding) int {
		return slices.Index(order, a.Severity) - slices.Index(order, b.Severity)
	})
	r.Head("SEVERITY", "ID", "FINDING")
	for _, f := range sorted {
		r.Add(out.Cell{Text: f.Severity, Colour: colourOf(f.Severity)}, f.ID, f.Text)
		if f.Hint != "" {
			r.Add("", "", "→ "+f.Hint)
		}
	}
}

func colourOf(severity string) out.Colour {
	switch severity {
	case masterapi.SeverityError:
		return out.Bad
	case masterapi.SeverityWarning:
		return out.Warn
	}
	return out.Good
}

// examine asks the master, which may be root and knows what runs; this program itself where there is none.
func (e *env) examine(ctx context.Context, only, skip []string, network bool) (found masterapi.Examination, err error) {
	err = e.ask(ctx, func(ctx context.Context, c *http.Client) error {
		return c.Get(ctx, masterapi.PathDoctor+"?"+masterapi.QueryNetwork+"="+strconv.FormatBool(network), &found)
	})
	var none noMaster
	if err == nil || !errors.As(err, &none) {
		found.Findings = slices.DeleteFunc(found.Findings, func(f masterapi.Finding) bool {
			return len(only) > 0 && !slices.Contains(only, f.ID) || slices.Contains(skip, f.ID)
		})
		if err != nil { // it is there, and cannot be asked: what else can be seen says why
			local := e.local(none.dir)
			// Who runs, and so whose ports are taken by right, only the master knows.
			local.Only, local.Skip, local.Network = only, append(skip, "services", "ports"), network
			local.Inspect = &masterapi.Inspect{}
			found = doctor.Examine(ctx, local)
			found.Findings = append(found.Findings, masterapi.Finding{ID: "socket", Severity: masterapi.SeverityError,
				Text: fmt.Sprintf("the master cannot be asked: %s", err)})
		}
		return found, nil
	}
	o := e.local(none.dir)
	o.Only, o.Skip, o.Network = only, skip, network
	return doctor.Examine(ctx, o), nil
}

// local are the options where no master answers.
func (e *env) local(dir string) doctor.Options {
	if dir == "" {
		dir, _ = e.Dir() // it was found before
	}
	config := filepath.Join(dir, master.ConfigFile)
	cfg, err := master.LoadConfig(config)
	if err != nil {
		return master.Examination(cfg, err, dir, config, nil, nil)
	}
	lines, err := advice(cfg, dir)
	if err != nil {
		lines = []string{err.Error()}
	}
	engine, err := newEngine(cfg, dir, nil, keeper.State{}, log.Discard())
	if err != nil {
		engine = nil
	}
	o := master.Examination(cfg, nil, dir, config, lines, engine)
	o.Program, _ = executable()
	return o
}
