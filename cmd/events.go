package cmd

import (
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/baetyl/baetyl/cmd/out"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

func eventsCommand(e *env) *cobra.Command {
	var since string
	var follow bool
	c := &cobra.Command{
		Use: "events", Short: "Show what has happened on the device, and follow it", Args: noArgs,
		Long: "Show what has happened to services, instances, updates and the master: the last thousand events, those of\n" +
			"earlier masters too. Times of --since are as those of baetyl logs.",
		Example: "  baetyl events\n  baetyl events -f --since 1h\n  baetyl events --since yesterday -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			at, err := when("since", since, time.Now())
			if err != nil {
				return err
			}
			next := uint64(0)
			path := func() string {
				q := url.Values{}
				if next > 0 {
					q.Set(masterapi.QuerySince, strconv.FormatUint(next, 10))
				} else if !at.IsZero() {
					q.Set(masterapi.QuerySince, at.Format(time.RFC3339Nano))
				}
				if follow {
					q.Set(masterapi.QueryFollow, "true")
				}
				return masterapi.PathEvents + "?" + q.Encode()
			}
			return e.stream(c.Context(), follow, path, func(l *http.Lines) error {
				var event masterapi.Event
				if err := l.Next(&event); err != nil {
					return err
				}
				next = event.Number + 1
				return e.Out.Line(event, func() string { return eventText(e.Out, event) })
			})
		},
	}
	e.formatFlag(c)
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on with the events that come")
	c.Flags().StringVar(&since, "since", "", "events from then on")
	return c
}

// eventText is an event for people.
func eventText(p *out.Printer, e masterapi.Event) string {
	text := p.Paint(out.Faint, e.Time.Local().Format("2006-01-02 15:04:05")) + " "
	if name := e.Instance; name != "" || e.Service != "" {
		if name == "" {
			name = e.Service
		}
		text += p.Paint(out.Head, name) + ": "
	}
	text += out.Harmless(e.Text)
	if why := e.Fields[masterapi.FieldReason]; why != "" {
		text += p.Paint(out.Bad, " ("+why+")")
	}
	return text
}
