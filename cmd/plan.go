package cmd

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/baetyl/baetyl/cmd/out"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

func planCommand(e *env) *cobra.Command {
	c := &cobra.Command{
		Use:   "plan FILE|DIR|PACKAGE|-",
		Short: "Say what apply would do, and which line is why", Args: cobra.ExactArgs(1),
		Long: "Say which services an update to the application in FILE would stop, start and keep, and which values\n" +
			"differ. Nothing is done for it. Values that may be secret are ***. Status 1: the update would be refused.",
		Example: "  baetyl plan application.yml\n  baetyl plan -o json application.yml | jq .changed",
		RunE: func(c *cobra.Command, args []string) error {
			s, err := e.open(args[0])
			if err != nil {
				return err
			}
			defer s.close()
			return e.ask(c.Context(), func(ctx context.Context, c *http.Client) error {
				p, err := plan(ctx, c, s)
				if err != nil {
					return err
				}
				if err := e.Out.Print(p, func(r *out.Rows) { planRows(r, p) }); err != nil {
					return err
				}
				return e.remarks(p, false)
			})
		},
	}
	e.formatFlag(c)
	return c
}

func plan(ctx context.Context, c *http.Client, s source) (p masterapi.Plan, err error) {
	r := masterapi.PlanRequest{Application: string(s.data)}
	err = twice(func() error { return c.PostJSON(ctx, masterapi.PathPlan, r, &p) })
	return p, err
}

// remarks says what the master remarks about a plan. An error says why the update would be refused; force: it would
// not.
func (e *env) remarks(p masterapi.Plan, force bool) error {
	for _, w := range p.Warnings {
		fmt.Fprintln(e.Stderr, "warning:", out.Block(w))
	}
	if len(p.Errors) == 0 || force {
		return nil
	}
	return fmt.Errorf("the update would be refused: %s", strings.Join(p.Errors, "; "))
}

// planRows are a plan as a table: a line for each service and each reason.
func planRows(r *out.Rows, p masterapi.Plan) {
	r.Head("SERVICE", "ACTION", "WHY")
	colours := map[string]out.Colour{
		masterapi.ActionPlanStart: out.Good, masterapi.ActionPlanStop: out.Bad, masterapi.ActionPlanRestart: out.Warn,
		masterapi.ActionPlanKeep: out.Faint,
	}
	for _, s := range p.Services {
		why := reasonLines(s.Reasons)
		if s.Stopped != nil {
			why = append(why, fmt.Sprintf("stopped by %s, and stays so", s.Stopped.By))
		}
		if len(why) == 0 {
			why = []string{map[string]string{
				masterapi.ActionPlanStart: "new", masterapi.ActionPlanStop: "not in the new application",
			}[s.Action]}
		}
		r.Add(s.Name, out.Cell{Text: s.Action, Colour: colours[s.Action]}, why[0])
		for _, w := range why[1:] {
			r.Add("", "", w)
		}
	}
	for _, n := range []struct {
		what string
		all  []masterapi.NamedChange
	}{{"volume", p.Volumes}, {"network", p.Networks}, {"image", p.Images}} {
		for _, c := range n.all {
			r.Add(n.what+" "+c.Name, c.Action, strings.Join(reasonLines(c.Reasons), "; "))
		}
	}
}

// reasonLines are reasons for people.
func reasonLines(reasons []masterapi.PlanReason) (lines []string) {
	for _, r := range reasons {
		text := r.Path
		if r.Old != "" || r.New != "" {
			text += fmt.Sprintf(": %s → %s", dash(r.Old), dash(r.New))
		}
		if r.Line > 0 {
			text += fmt.Sprintf(" (line %d)", r.Line)
		}
		lines = append(lines, text)
	}
	return lines
}

// dash is what stands for no value.
func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
