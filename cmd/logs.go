package cmd

import (
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/baetyl/baetyl/cmd/out"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

func logsCommand(e *env) *cobra.Command {
	var v logView
	var since, until, tail string
	c := &cobra.Command{
		Use: "logs [SERVICE…]", Short: "Show what services have written, and follow it",
		Long: "Show what services have written, over restarts of services, masters and the device, also of services that\n" +
			"have left the application as long as their files are there. Without a name: all services of the application.\n" +
			"`baetyl logs master` is the log of the master itself, where logger.path names a file for it.\n\n" +
			"Times: how long ago (10m, 2h30m, 3d), today, yesterday, 2026-11-30, \"2026-11-30 01:02:03\".\n" +
			"A line of more than 64 KiB comes in several. Control characters are shown as \\x1b; -o json has them as they are.",
		Example: "  baetyl logs localhub\n  baetyl logs -f localhub function-manager\n" +
			"  baetyl logs --since yesterday --until today localhub\n  baetyl logs --tail 100 -o json localhub",
		ValidArgsFunction: e.completeServices,
		RunE: func(c *cobra.Command, args []string) (err error) {
			now := time.Now()
			if v.since, err = when("since", since, now); err != nil {
				return err
			}
			if v.until, err = when("until", until, now); err != nil {
				return err
			}
			if tail != "all" {
				if n, err := strconv.Atoi(tail); err != nil || n < 0 {
					return misused("--tail: %q is no number of lines; write a number, or all", tail)
				}
				v.tail = tail
			}
			v.services, v.prefix = args, len(args) != 1
			return e.stream(c.Context(), v.follow, v.path, func(l *http.Lines) error { return v.line(e, l) })
		},
	}
	e.formatFlag(c)
	c.Flags().BoolVarP(&v.follow, "follow", "f", false, "go on with the lines that come")
	c.Flags().StringVar(&since, "since", "", "lines from then on")
	c.Flags().StringVar(&until, "until", "", "lines up to then")
	c.Flags().StringVarP(&tail, "tail", "n", "all", "the last lines of each service")
	c.Flags().BoolVarP(&v.stamps, "timestamps", "t", false, "with the time of each line, in the zone of this device")
	return c
}

// logView is what logs shows, and how far it is.
type logView struct {
	services       []string
	since, until   time.Time
	tail           string // empty: all
	follow, stamps bool
	prefix         bool // each line says of which instance it is

	last  map[string]mark // by service
	began time.Time       // the first connection
}

// mark is how far the lines of a service have been shown: so many of that time.
type mark struct {
	at    time.Time
	lines int
	skip  int // of the next lines with this time, after a new connection
}

// path asks for what has not been shown yet.
func (v *logView) path() string {
	q := url.Values{masterapi.QueryService: v.services}
	set := func(name string, at time.Time) {
		if !at.IsZero() {
			q.Set(name, at.Format(time.RFC3339Nano))
		}
	}
	set(masterapi.QuerySince, v.since)
	set(masterapi.QueryUntil, v.until)
	if v.tail != "" {
		q.Set(masterapi.QueryTail, v.tail)
	}
	if v.follow {
		q.Set(masterapi.QueryFollow, "true")
	}
	if v.last == nil {
		v.last, v.began = map[string]mark{}, time.Now()
		return masterapi.PathLogs + "?" + q.Encode()
	}
	q.Del(masterapi.QueryTail) // a new connection: what comes after the last line
	first := time.Time{}
	for service, m := range v.last {
		m.skip = m.lines
		v.last[service] = m
		if first.IsZero() || m.at.Before(first) {
			first = m.at
		}
	}
	if first.IsZero() { // nothing was shown
		if first = v.since; v.tail != "" {
			first = v.began
		}
	}
	set(masterapi.QuerySince, first)
	return masterapi.PathLogs + "?" + q.Encode()
}

// line shows the next line.
func (v *logView) line(e *env, in *http.Lines) error {
	var l masterapi.LogLine
	if err := in.Next(&l); err != nil {
		return err
	}
	m := v.last[l.Service]
	switch {
	case l.Time.Before(m.at) && m.skip > 0: // shown before the connection was lost, while another service was behind
		return nil
	case l.Time.Equal(m.at) && m.skip > 0:
		m.skip--
		v.last[l.Service] = m
		return nil
	case l.Time.Equal(m.at):
		m.lines++
	default:
		m = mark{at: l.Time, lines: 1}
	}
	m.skip = 0
	v.last[l.Service] = m
	return e.Out.Line(l, func() string { return v.text(e.Out, l) })
}

// text is a line for people.
func (v *logView) text(p *out.Printer, l masterapi.LogLine) string {
	head := ""
	if v.stamps && l.Service != masterapi.ServiceMaster {
		head = p.Paint(out.Faint, l.Time.Local().Format("2006-01-02T15:04:05.000Z07:00")) + " "
	}
	if v.prefix || l.Instance != l.Service && l.Instance != "" {
		name := l.Instance
		if name == "" || name == "-" {
			name = l.Service
		}
		colours := []out.Colour{out.Good, out.Warn, out.Head, out.Plain}
		n := max(0, slices.Index(v.services, l.Service))
		head += p.Paint(colours[n%len(colours)], name) + " | "
	}
	return head + out.Harmless(l.Text)
}
