package cmd

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/baetyl/baetyl/cmd/out"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

func historyCommand(e *env) *cobra.Command {
	c := &cobra.Command{
		Use: "history [NUMBER]", Short: "List the applications that have run, or show what one has changed",
		Args: cobra.MaximumNArgs(1),
		Long: "List the applications that have run on this device, the newest first: when, who has asked for each, and\n" +
			"why it ended. With NUMBER: one of them, and what it has changed.",
		Example: "  baetyl history\n  baetyl history 4\n  baetyl history -o json",
		RunE: func(c *cobra.Command, args []string) error {
			number, err := numberOf(args)
			if err != nil {
				return err
			}
			return e.ask(c.Context(), func(ctx context.Context, c *http.Client) error {
				if number > 0 {
					return e.historyEntry(ctx, c, number)
				}
				var h masterapi.History
				if err := c.Get(ctx, masterapi.PathHistory, &h); err != nil {
					return err
				}
				return e.Out.Print(h, func(r *out.Rows) {
					r.Head("NUMBER", "BEGAN", "ENDED", "VERSION", "RESULT", "BY", "WHY")
					for _, entry := range h.Entries {
						historyLine(r, entry)
					}
				})
			})
		},
	}
	e.formatFlag(c)
	return c
}

func (e *env) historyEntry(ctx context.Context, c *http.Client, number int) error {
	var d masterapi.HistoryDetails
	if err := c.Get(ctx, masterapi.PathHistoryEntry(number), &d); err != nil {
		return err
	}
	return e.Out.Print(d, func(r *out.Rows) {
		r.Add("application", d.Number)
		for _, l := range [][2]string{
			{"version", d.Version}, {"result", d.Result}, {"why", d.Reason}, {"by", d.By.String()}, {"trace", d.Trace},
			{"began", clock(&d.Began)}, {"ended", clock(d.Ended)}, {"sha256", d.SHA256},
		} {
			if l[1] != "" {
				r.Add(l[0], l[1])
			}
		}
		if d.Revert > 0 {
			r.Add("revert to", d.Revert)
		}
		if d.Plan == nil {
			r.Add("changed", "not known: its application.yml, or the one before, is not kept")
			return
		}
		r.Add("")
		planRows(r, *d.Plan)
	})
}

func historyLine(r *out.Rows, h masterapi.HistoryEntry) {
	colours := map[string]out.Colour{
		masterapi.ResultRunning: out.Good, masterapi.ResultRolledBack: out.Bad, masterapi.ResultFailed: out.Bad,
	}
	why := h.Reason
	if h.Revert > 0 {
		why = fmt.Sprintf("revert to %d", h.Revert)
		if h.Reason != "" {
			why += "; " + h.Reason
		}
	}
	r.Add(h.Number, clock(&h.Began), clock(h.Ended), dash(h.Version),
		out.Cell{Text: h.Result, Colour: colours[h.Result]}, h.By, short(why, 100))
}

// short cuts a text for a table.
func short(text string, most int) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most]) + "…"
	}
	return text
}

// clock is a time for people, in the zone of this device.
func clock(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.Local().Format(time.DateTime)
}

// numberOf is the one argument, 0 without one.
func numberOf(args []string) (int, error) {
	if len(args) == 0 {
		return 0, nil
	}
	n, err := strconv.Atoi(args[0])
	if err != nil || n < 1 {
		return 0, misused("%q is no number of the history; baetyl history lists them", args[0])
	}
	return n, nil
}

func revertCommand(e *env) *cobra.Command {
	var u updates
	c := &cobra.Command{
		Use: "revert [NUMBER]", Short: "Put back an application that has run before", Args: cobra.MaximumNArgs(1),
		Long: "Update the device to an application of its history, by default the last other one that ran well. Nothing\n" +
			"but the device is needed. It is an update as any: when its services do not stay up, what runs now is put\n" +
			"back, and the status is 1.",
		Example: "  baetyl revert\n  baetyl revert 3",
		RunE: func(c *cobra.Command, args []string) error {
			number, err := numberOf(args)
			if err != nil {
				return err
			}
			waits := u.waits(c)
			return e.ask(c.Context(), func(ctx context.Context, c *http.Client) error {
				what := "the last application that ran well"
				if number > 0 {
					what = "application " + strconv.Itoa(number)
				}
				if err := e.confirmed(u.yes, "Put back "+what+"?"); err != nil {
					return err
				}
				r := masterapi.RevertRequest{Number: number, Trace: newTrace(), Force: u.force}
				var to masterapi.Reverted
				err := e.request(ctx, r.Trace, func() error { return c.PostJSON(ctx, masterapi.PathRevert, r, &to) })
				if err != nil {
					return err
				}
				if to.Number == 0 { // the answer was lost: history says which one
					return e.begun(ctx, r.Trace, u, waits, "done: "+what+" runs again")
				}
				fmt.Fprintf(e.Stderr, "back to application %d, version %s\n", to.Number, out.Harmless(strconv.Quote(to.Version)))
				return e.begun(ctx, r.Trace, u, waits, fmt.Sprintf("done: application %d runs again", to.Number))
			})
		},
	}
	u.flags(c)
	e.formatFlag(c)
	return c
}
