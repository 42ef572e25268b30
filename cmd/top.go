package cmd

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/baetyl/baetyl/cmd/out"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// topInterval is how often top looks again.
const topInterval = 2 * time.Second

func topCommand(e *env) *cobra.Command {
	var once bool
	c := &cobra.Command{
		Use: "top [SERVICE…]", Short: "Show which instances use processor and memory",
		Long: "Show which instances use processor time and memory, the greediest first. On a terminal it looks again\n" +
			"every two seconds until Ctrl-C; otherwise, with --once and with -o json or yaml, it looks once.",
		Example:           "  baetyl top\n  baetyl top localhub --once\n  baetyl top -o json",
		ValidArgsFunction: e.completeServices,
		RunE: func(c *cobra.Command, args []string) error {
			screen := e.Out.Terminal()
			if once || e.Out.Format == out.JSON || e.Out.Format == out.YAML {
				screen = nil
			}
			ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			for {
				list, err := e.services(ctx, true, args)
				if ctx.Err() != nil {
					return nil
				}
				if screen != nil && isGone(err) { // the next one answers
					continue
				}
				if err != nil {
					return err
				}
				if screen != nil {
					fmt.Fprint(e.Out, "\x1b[H\x1b[2J")
				}
				if err := e.Out.Print(list, func(r *out.Rows) { topTable(r, list, screen) }); err != nil || screen == nil {
					return err
				}
				if !wait(ctx, topInterval) {
					return nil
				}
			}
		},
	}
	e.formatFlag(c)
	c.Flags().BoolVar(&once, "once", false, "one look, on a terminal too")
	return c
}

// wait waits; false: ctx has ended.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// topTable has a line for each instance that runs, as many as fit on the screen; nil: all.
func topTable(r *out.Rows, list masterapi.Services, screen *os.File) {
	type used struct {
		service string
		masterapi.Instance
		cpu float64
		mem uint64
	}
	var all []used
	for _, s := range list.Services {
		for _, i := range s.Instances {
			u := used{service: s.Name, Instance: i}
			if i.CPU != nil {
				u.cpu = i.CPU.UsedPercent
			}
			if i.Mem != nil {
				u.mem = i.Mem.Used
			}
			if i.Status == masterapi.StatusRunning {
				all = append(all, u)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b used) int { return cmp.Or(cmp.Compare(b.cpu, a.cpu), cmp.Compare(b.mem, a.mem)) })
	if screen != nil {
		_, lines := out.Size(screen)
		all = all[:min(len(all), max(1, lines-2))]
	}
	r.Head("INSTANCE", "SERVICE", "CPU", "MEMORY", "MEM%", "SINCE")
	for _, u := range all {
		percent, since := "-", "-"
		if u.Mem != nil && u.Mem.Total > 0 {
			percent = fmt.Sprintf("%.1f%%", u.Mem.UsedPercent)
		}
		if u.StartTime != nil {
			since = ago(*u.StartTime, time.Now())
		}
		r.Add(u.Name, u.service, fmt.Sprintf("%.1f%%", u.cpu), sizeText(u.mem), percent, since)
	}
}
