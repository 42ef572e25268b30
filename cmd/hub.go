package cmd

import (
	"context"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/baetyl/baetyl/cmd/out"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/hubapi"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// hub is a command about a hub.
type hub struct {
	*env
	module
}

func hubCommand(e *env) *cobra.Command {
	c := &cobra.Command{
		Use: "hub", Short: "Ask a hub: clients, sessions, messages, and who may what",
		Long: "Ask a hub of the application, in native and in docker mode. The master connects you with its admin socket.\n" +
			"docs/hub.md describes what it answers.",
		Example: "  baetyl hub top\n  baetyl hub sub 'sensors/#'\n  baetyl hub explain sensors/1 --user dev",
	}
	h := func() hub { return hub{e, module{kind: masterapi.ModuleHub}} }
	c.AddCommand(
		h().clients(), h().sessions(), h().subscriptions(), h().retained(), h().counters(), h().top(), h().explainTopic(),
		h().kick(), h().forget(), h().clear(), h().pub(), h().sub(),
	)
	return c
}

// command is a command whose run asks the hub.
func (h hub) command(use, short, example string, args cobra.PositionalArgs,
	run func(ctx context.Context, args []string, c *http.Client, path func(string) string) error) *cobra.Command {
	m := &h.module
	c := &cobra.Command{
		Use: use, Short: short, Example: example, Args: args,
		RunE: func(c *cobra.Command, args []string) error {
			return m.ask(c.Context(), h.env, func(ctx context.Context, c *http.Client, path func(string) string) error {
				return run(ctx, args, c, path)
			})
		},
	}
	m.flags(h.env, c)
	return c
}

// hubFilters are the parameters of lists: beginnings of names.
type hubFilters struct{ user, client, topic string }

// hubList is a command that shows all entries of a list whose names begin as its flags say, from page to page.
func hubList[T any](h hub, use, short, example, path string, by []string, table func(rows *out.Rows, items []T),
) *cobra.Command {
	var f hubFilters
	all := map[string]*string{"user": &f.user, "client": &f.client, "topic": &f.topic}
	c := h.command(use, short, example, noArgs,
		func(ctx context.Context, _ []string, c *http.Client, at func(string) string) error {
			q := url.Values{}
			for _, name := range by {
				if *all[name] != "" {
					q.Set(name, *all[name])
				}
			}
			items, err := hubPages[T](ctx, c, at, path, q)
			if err != nil {
				return err
			}
			return h.Out.Print(hubapi.Page[T]{Items: items}, func(rows *out.Rows) { table(rows, items) })
		})
	for _, name := range by {
		c.Flags().StringVar(all[name], name, "", "only those whose "+name+" begins so")
	}
	h.formatFlag(c)
	return c
}

// hubPages returns all entries of a list.
func hubPages[T any](
	ctx context.Context, c *http.Client, at func(string) string, path string, q url.Values,
) ([]T, error) {
	items := []T{}
	for q.Set("limit", "1000"); ; {
		var p hubapi.Page[T]
		if err := c.Get(ctx, at(path+"?"+q.Encode()), &p); err != nil {
			return nil, err
		}
		if items = append(items, p.Items...); p.Next == "" {
			return items, nil
		}
		q.Set("after", p.Next)
	}
}

func (h hub) clients() *cobra.Command {
	return hubList(h, "clients", "List the connections of a hub",
		"  baetyl hub clients\n  baetyl hub clients --user dev -o json",
		hubapi.Clients, []string{"user", "client"}, func(rows *out.Rows, items []hubapi.Client) {
			rows.Head("CLIENT", "USER", "ADDRESS", "CONNECTED", "PUBLISHED", "QUEUED", "DROPPED", "LISTENER")
			for _, x := range items {
				rows.Add(x.Client, x.User, x.Address, hubSince(x.Since), x.Published, x.Queued, droppedCell(x.Dropped), x.Listener)
			}
		})
}

func (h hub) sessions() *cobra.Command {
	return hubList(h, "sessions", "List the sessions of a hub, connected or not",
		"  baetyl hub sessions\n  baetyl hub sessions --client sensor-", hubapi.Sessions, []string{"user", "client"},
		func(rows *out.Rows, items []hubapi.Session) {
			rows.Head("CLIENT", "USER", "KIND", "STATE", "SUBSCRIPTIONS", "QUEUED", "BYTES", "OLDEST", "DROPPED")
			for _, x := range items {
				rows.Add(x.Client, x.User, kindOfSession(x.Durable), stateOfSession(x.Connected, x.Away), x.Subscriptions, x.Queued,
					x.QueuedBytes, spanOf(x.Oldest), droppedCell(x.Dropped))
			}
		})
}

func (h hub) subscriptions() *cobra.Command {
	return hubList(h, "subscriptions", "List the subscriptions of a hub",
		"  baetyl hub subscriptions\n  baetyl hub subscriptions --topic sensors/", hubapi.Subscriptions,
		[]string{"user", "client", "topic"}, func(rows *out.Rows, items []hubapi.Subscription) {
			rows.Head("CLIENT", "USER", "QOS", "ACTIVE", "FILTER")
			for _, x := range items {
				rows.Add(x.Client, x.User, x.QOS, yesOrNo(x.Active), x.Filter)
			}
		})
}

func (h hub) retained() *cobra.Command {
	return hubList(h, "retained", "List the retained messages of a hub",
		"  baetyl hub retained --topic state/\n  baetyl hub sub state/1 --retained --count 1   # with its payload",
		hubapi.Retained, []string{"topic"}, func(rows *out.Rows, items []hubapi.RetainedMessage) {
			rows.Head("QOS", "SIZE", "AGE", "TOPIC")
			for _, x := range items {
				age := "older than the hub"
				if x.Age != nil {
					age = spanOf(*x.Age)
				}
				rows.Add(x.QOS, x.Size, age, x.Topic)
			}
		})
}

func (h hub) counters() *cobra.Command {
	c := h.command("counters", "Show the statistics of a hub", "  baetyl hub counters\n  baetyl hub counters -o json",
		noArgs, func(ctx context.Context, _ []string, c *http.Client, at func(string) string) error {
			all := map[string]int64{}
			if err := c.Get(ctx, at(hubapi.Counters), &all); err != nil {
				return err
			}
			return h.Out.Print(all, func(rows *out.Rows) {
				rows.Head("NAME", "VALUE")
				for _, name := range slices.Sorted(maps.Keys(all)) {
					rows.Add(name, all[name])
				}
			})
		})
	h.formatFlag(c)
	return c
}

func kindOfSession(durable bool) string {
	if durable {
		return "durable"
	}
	return "transient"
}

func stateOfSession(connected bool, away int64) any {
	if connected {
		return out.Cell{Text: "connected", Colour: out.Good}
	}
	return out.Cell{Text: "away for " + spanOf(away), Colour: out.Warn}
}

func yesOrNo(ok bool) any {
	if ok {
		return "yes"
	}
	return out.Cell{Text: "no", Colour: out.Warn}
}

func droppedCell(n uint64) any {
	if n == 0 {
		return n
	}
	return out.Cell{Text: strconv.FormatUint(n, 10), Colour: out.Warn}
}

func hubSince(t time.Time) string { return spanOf(int64(time.Since(t) / time.Second)) }

// spanOf is a duration for people: 3d4h, 5h10m, 12m5s, 7s.
func spanOf(n int64) string {
	if n < 0 {
		n = 0
	}
	days, hours, minutes, rest := n/86400, n/3600%24, n/60%60, n%60
	var parts []string
	for _, p := range []struct {
		n    int64
		unit string
	}{{days, "d"}, {hours, "h"}, {minutes, "m"}, {rest, "s"}} {
		if p.n > 0 && len(parts) < 2 {
			parts = append(parts, fmt.Sprint(p.n, p.unit))
		} else if len(parts) > 0 {
			break
		}
	}
	if len(parts) == 0 {
		return "0s"
	}
	return strings.Join(parts, "")
}
