package cmd

import (
	"context"
	"errors"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/baetyl/baetyl/cmd/out"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/hubapi"
)

func (h hub) kick() *cobra.Command {
	var reason string
	c := h.command("kick CLIENT…", "Close the connections of clients; they may connect again",
		"  baetyl hub kick sensor-1 --reason 'sends too much'", cobra.MinimumNArgs(1),
		func(ctx context.Context, args []string, c *http.Client, at func(string) string) error {
			return h.each(args, func(client string) error {
				return c.PostJSON(ctx, at(hubapi.Kick), hubapi.KickRequest{Client: client, Reason: reason}, nil)
			})
		})
	c.Flags().StringVar(&reason, "reason", "", "for the log of the hub")
	c.Long = "Close the connections of clients. Their wills are published, durable sessions stay, and a client may\n" +
		"connect again at once: to keep one away, take its user out of principals in the hub's service.yml."
	return c
}

func (h hub) forget() *cobra.Command {
	c := h.command("forget CLIENT…", "Remove the sessions of clients, with all that waits for them",
		"  baetyl hub forget sensor-1", cobra.MinimumNArgs(1),
		func(ctx context.Context, args []string, c *http.Client, at func(string) string) error {
			return h.each(args, func(client string) error {
				return c.PostJSON(ctx, at(hubapi.DeleteSession), hubapi.DeleteSessionRequest{Client: client}, nil)
			})
		})
	return c
}

func (h hub) clear() *cobra.Command {
	var filter string
	c := h.command("clear [TOPIC…]", "Remove retained messages; subscribers are told nothing",
		"  baetyl hub clear state/1\n  baetyl hub clear --filter 'state/#'", cobra.ArbitraryArgs,
		func(ctx context.Context, args []string, c *http.Client, at func(string) string) error {
			if filter == "" {
				return h.each(args, func(topic string) error {
					return c.PostJSON(ctx, at(hubapi.DeleteRetained), hubapi.DeleteRetainedRequest{Topic: topic}, nil)
				})
			}
			var done hubapi.Done
			err := c.PostJSON(ctx, at(hubapi.DeleteRetained), hubapi.DeleteRetainedRequest{Filter: filter}, &done)
			if err == nil {
				h.Out.Says("%d retained messages removed", done.Done)
			}
			return err
		})
	c.Args = func(_ *cobra.Command, args []string) error {
		if (len(args) == 0) == (filter == "") {
			return errors.New("name topics, or --filter: one of the two")
		}
		return nil
	}
	c.Flags().StringVar(&filter, "filter", "", "those whose topics it matches, as MQTT has filters")
	return c
}

// each does something for each name, and goes on when it has failed for one.
func (h hub) each(names []string, do func(name string) error) error {
	var errs []error
	for _, name := range names {
		if err := do(name); err != nil {
			errs = append(errs, h.explain(err))
			continue
		}
		h.Out.Says("%s: done", name)
	}
	return errors.Join(errs...)
}

func (h hub) pub() *cobra.Command {
	var in hubapi.PublishRequest
	var data string
	c := h.command("pub TOPIC", "Publish a message, whatever permits say",
		"  baetyl hub pub lamp/1 -d on --qos 1\n  baetyl hub pub state/1 -d @state.json --retain\n"+
			"  date | baetyl hub pub now -d -",
		cobra.ExactArgs(1), func(ctx context.Context, args []string, c *http.Client, at func(string) string) error {
			in.Topic = args[0]
			return c.PostJSON(ctx, at(hubapi.Publish), in, nil)
		})
	dataFlag(c, &data)
	send := c.RunE
	c.RunE = func(c *cobra.Command, args []string) (err error) {
		if in.Base64, err = h.data(data); err != nil {
			return err
		}
		return send(c, args)
	}
	c.Flags().IntVarP(&in.QOS, "qos", "q", 0, "0, 1 or 2; with 1 and 2 the message is stored when the command ends")
	c.Flags().BoolVarP(&in.Retain, "retain", "r", false, "the hub keeps it as the retained message of the topic")
	return c
}

func (h hub) explainTopic() *cobra.Command {
	var user, client, action string
	c := h.command("explain TOPIC", "Say who gets the messages of a topic, and who may publish or subscribe to it",
		"  baetyl hub explain sensors/1\n  baetyl hub explain sensors/1 --user dev --action publish", cobra.ExactArgs(1),
		func(ctx context.Context, args []string, c *http.Client, at func(string) string) error {
			all := explanation{Topic: args[0]}
			actions := []string{hubapi.ActionPublish, hubapi.ActionSubscribe}
			switch {
			case action != "" && action != actions[0] && action != actions[1]:
				return misused("--action: use %s or %s", actions[0], actions[1])
			case user == "" && (action != "" || client != ""):
				return misused("--action and --client need --user")
			case user == "":
				actions = nil
			case action != "":
				actions = []string{action}
			}
			for _, a := range actions {
				q := url.Values{"user": {user}, "topic": {args[0]}, "action": {a}}
				if client != "" {
					q.Set("client", client)
				}
				d := decision{User: user, Client: client, Action: a}
				if err := c.Get(ctx, at(hubapi.Access+"?"+q.Encode()), &d.Decision); err != nil {
					return err
				}
				all.Decisions = append(all.Decisions, d)
			}
			var err error
			q := url.Values{"topic": {args[0]}}
			all.Receivers, err = hubPages[hubapi.Receiver](ctx, c, at, hubapi.Receivers, q)
			if answer := (*http.Error)(nil); errors.As(err, &answer) && answer.Status == 400 && len(actions) > 0 {
				all.filter, err = true, nil // as of a subscription: it has no receivers
			}
			if err != nil {
				return err
			}
			return h.Out.Print(all, all.table)
		})
	c.Flags().StringVar(&user, "user", "", "a user of the hub: may that one publish or subscribe there, and why?")
	c.Flags().StringVar(&client, "client", "", "the client id, for permits with %c")
	c.Flags().StringVar(&action, "action", "", "publish or subscribe; both by default")
	c.Long = "Say who gets the messages of a topic: the subscriptions that match it, also by static routes, with what\n" +
		"waits for their sessions. With --user, say whether that user may, and which rule of the hub's service.yml says so."
	h.formatFlag(c)
	return c
}

// explanation is what explain prints: answers of the hub, with what was asked for.
type explanation struct {
	Topic     string            `json:"topic"`
	Decisions []decision        `json:"decisions,omitempty"`
	Receivers []hubapi.Receiver `json:"receivers"`

	filter bool // Topic is a filter, or another text that nobody can publish to
}

type decision struct {
	User   string `json:"user"`
	Client string `json:"client,omitempty"`
	Action string `json:"action"`
	hubapi.Decision
}

func (x explanation) table(rows *out.Rows) {
	if len(x.Decisions) > 0 {
		rows.Head("USER", "ACTION", "MAY", "WHY")
		for _, d := range x.Decisions {
			why := d.Reason
			if d.Rule != "" {
				why = d.Rule + ": " + d.Permit
			}
			rows.Add(d.User, d.Action, yesOrNo(d.Allowed), why)
		}
		rows.Add("")
	}
	if x.filter {
		return
	}
	if len(x.Receivers) == 0 {
		rows.Add("No session has a filter that matches " + x.Topic + ".")
		return
	}
	rows.Head("RECEIVER", "USER", "STATE", "KIND", "QOS", "QUEUED", "DROPPED", "FILTER", "NOTE")
	for _, r := range x.Receivers {
		state := any(out.Cell{Text: "connected", Colour: out.Good})
		if !r.Connected {
			state = out.Cell{Text: "away", Colour: out.Warn}
		}
		rows.Add(r.Client, r.User, state, kindOfSession(r.Durable), r.QOS, r.Queued, droppedCell(r.Dropped), r.Filter,
			noteOf(r))
	}
}

// noteOf says why a receiver may not have got a message.
func noteOf(r hubapi.Receiver) any {
	switch {
	case !r.Active:
		return out.Cell{Text: "gets nothing: its user may not subscribe to this any more", Colour: out.Bad}
	case !r.Connected && r.QOS == 0:
		return out.Cell{Text: "away, and with QoS 0 nothing waits for it", Colour: out.Warn}
	case r.Dropped > 0:
		return out.Cell{Text: "lost some: it reads too slowly, or its queue was full", Colour: out.Warn}
	case r.Route != "":
		return "as " + r.Route + ", by a static route"
	}
	return ""
}
