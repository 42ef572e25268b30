package cmd

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/baetyl/baetyl/cmd/out"
	"github.com/baetyl/baetyl/protocol/functionapi"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

func functionCommand(e *env) *cobra.Command {
	c := &cobra.Command{
		Use: "function", Short: "See and call functions",
		Long: "Ask a function manager of the application, in native and in docker mode.\n" +
			"docs/function-manager.md describes it.",
		Example: "  baetyl function list\n  baetyl function call sayhi -d '{\"x\":1}'",
	}
	c.AddCommand(functionListCommand(e), functionRulesCommand(e), functionCallCommand(e))
	return c
}

func functionManager() *module {
	return &module{kind: masterapi.ModuleFunctionManager}
}

func functionListCommand(e *env) *cobra.Command {
	m := functionManager()
	c := &cobra.Command{
		Use: "list", Short: "List functions with their instances, calls and errors", Args: noArgs,
		Example: "  baetyl function list\n  baetyl function list -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			return m.ask(c.Context(), e, func(ctx context.Context, c *http.Client, at func(string) string) error {
				var all functionapi.List[functionapi.Function]
				if err := c.Get(ctx, at(functionapi.Functions), &all); err != nil {
					return err
				}
				return e.Out.Print(all, func(rows *out.Rows) { functionRows(rows, all.Items) })
			})
		},
	}
	m.flags(e, c)
	e.formatFlag(c)
	return c
}

func functionRows(rows *out.Rows, items []functionapi.Function) {
	rows.Head("FUNCTION", "SERVICE", "INSTANCES", "WAITING", "OK", "ERRORS", "MEAN", "STARTS", "LAST ERROR")
	for _, f := range items {
		running := f.Instances["idle"] + f.Instances["busy"]
		instances := fmt.Sprintf("%d/%d", running, f.Max)
		if n := f.Instances["starting"]; n > 0 {
			instances += fmt.Sprintf(" (%d starting)", n)
		}
		var all, failed uint64
		for outcome, n := range f.Calls {
			if all += n; outcome != "ok" {
				failed += n
			}
		}
		mean := "-"
		if all > 0 {
			mean = time.Duration(f.CallSeconds / float64(all) * float64(time.Second)).Round(10 * time.Microsecond).String()
		}
		starts := fmt.Sprint(f.Starts)
		if f.FailedStarts > 0 {
			starts += fmt.Sprintf(" (%d failed)", f.FailedStarts)
		}
		rows.Add(f.Name, f.Service, instances, f.Waiting, f.Calls["ok"], droppedCell(failed), mean, starts, f.LastError)
	}
}

func functionRulesCommand(e *env) *cobra.Command {
	m := functionManager()
	c := &cobra.Command{
		Use: "rules", Short: "List rules: which messages go through which function, and what became of them",
		Args: noArgs, Example: "  baetyl function rules",
		RunE: func(c *cobra.Command, _ []string) error {
			return m.ask(c.Context(), e, func(ctx context.Context, c *http.Client, at func(string) string) error {
				var all functionapi.List[functionapi.Rule]
				if err := c.Get(ctx, at(functionapi.Rules), &all); err != nil {
					return err
				}
				return e.Out.Print(all, func(rows *out.Rows) {
					rows.Head("SUBSCRIBE", "FUNCTION", "PUBLISH", "CONNECTED", "RECEIVED", "UNDERWAY", "RESULTS", "EMPTY", "ERRORS",
						"RETRIES", "DROPPED")
					for _, r := range all.Items {
						rows.Add(r.Subscribe, r.Function, r.Publish, yesOrNo(r.Connected), r.Received, r.InFlight, r.Results, r.Empty,
							droppedCell(r.Errors+r.Refused), r.Retries, droppedCell(r.Dropped))
					}
				})
			})
		},
	}
	m.flags(e, c)
	e.formatFlag(c)
	return c
}

func functionCallCommand(e *env) *cobra.Command {
	m := functionManager()
	var in functionapi.CallRequest
	var data string
	var timeout time.Duration
	var raw bool
	c := &cobra.Command{
		Use: "call NAME", Short: "Call a function once, and print what it returns", Args: cobra.ExactArgs(1),
		ValidArgsFunction: func(c *cobra.Command, _ []string, _ string) (names []string, _ cobra.ShellCompDirective) {
			_ = m.ask(c.Context(), e, func(ctx context.Context, c *http.Client, at func(string) string) error {
				var all functionapi.List[functionapi.Function]
				err := c.Get(ctx, at(functionapi.Functions), &all)
				for _, f := range all.Items {
					names = append(names, f.Name)
				}
				return err // nothing is completed then
			})
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		Long: "Call a function once, without a retry. Nothing is published. The status is 1 when the call fails. A\n" +
			"payload that is no text is written as it is with --raw, and to a file or a pipe.",
		Example: "  baetyl function call sayhi -d '{\"x\":1}'\n  baetyl function call resize -d @in.jpg --raw >out.jpg",
		RunE: func(c *cobra.Command, args []string) error {
			payload, err := e.data(data)
			if err != nil {
				return err
			}
			if raw && e.Out.Format != "" {
				return misused("--raw and -o exclude each other")
			}
			in.Function, in.Base64, in.Timeout = args[0], payload, timeout.Seconds()
			return m.ask(c.Context(), e, func(ctx context.Context, c *http.Client, at func(string) string) error {
				var a functionapi.CallAnswer
				if err := c.PostJSON(ctx, at(functionapi.Call), in, &a); err != nil {
					return err
				}
				if e.Out.Format != "" && e.Out.Format != out.Table {
					return e.Out.Print(a, nil)
				}
				return e.result(a, raw)
			})
		},
	}
	m.flags(e, c)
	dataFlag(c, &data)
	c.Flags().StringVar(&in.Topic, "topic", functionapi.DefaultTopic, "the topic of the message")
	c.Flags().DurationVar(&timeout, "timeout", 0, "longest time in all, up to 55s (default 55s)")
	c.Flags().BoolVar(&raw, "raw", false, "write the payload as it is, without a newline")
	e.formatFlag(c)
	return c
}

// result writes what a function has returned.
func (e *env) result(a functionapi.CallAnswer, raw bool) error {
	payload := []byte(a.Payload)
	if len(a.Base64) > 0 {
		payload = a.Base64
	}
	switch {
	case raw || e.Out.Terminal() == nil && len(a.Base64) > 0:
		_, err := e.Out.Write(payload)
		return err
	case a.Size == 0:
		fmt.Fprintln(e.Stderr, "baetyl: the function has returned nothing: a rule would publish no message")
		return nil
	}
	e.Out.Says("%s", string(payload))
	return nil
}
