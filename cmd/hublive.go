package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/baetyl/baetyl/cmd/out"
	"github.com/baetyl/baetyl/protocol/http"
	"github.com/baetyl/baetyl/protocol/hubapi"
)

// subscription is what `baetyl hub sub` shows.
type subscription struct {
	h        hub
	count    int
	retained bool
	raw      bool
}

func (h hub) sub() *cobra.Command {
	s := subscription{h: h}
	c := h.command("sub FILTER", "Show messages as they are published, with who publishes them",
		"  baetyl hub sub 'sensors/#'\n  baetyl hub sub state/1 --retained --count 1 --raw >state.bin\n"+
			"  baetyl hub sub '#' -o json",
		cobra.ExactArgs(1), func(ctx context.Context, args []string, _ *http.Client, at func(string) string) error {
			if s.raw && (s.h.Out.Terminal() != nil || s.h.Out.Format != "") {
				return misused("--raw writes bytes as they are: send them to a file or a pipe, and leave -o out")
			}
			return s.run(ctx, args[0], at)
		})
	c.Long = "Show messages as the hub delivers them, until Ctrl-C. The hub waits for nobody who looks: what is not\n" +
		"read in time is left out, and counted. Between two masters it is left out too, with a line. Filters are\n" +
		"those of MQTT; '#' has no topics that begin with $, '$SYS/#' has some."
	c.Flags().IntVarP(&s.count, "count", "n", 0, "end after so many messages")
	c.Flags().BoolVar(&s.retained, "retained", false, "first the retained messages that are there")
	c.Flags().BoolVar(&s.raw, "raw", false, "only the payloads, as they are, one after the other")
	h.formatFlag(c)
	return c
}

// errShown ends a stream of which as many messages were shown as were asked for.
var errShown = errors.New("all is shown")

// run writes messages until their end, which is an error unless it was asked for.
func (s subscription) run(ctx context.Context, filter string, at func(string) string) error {
	asked, shown := false, 0
	err := s.h.stream(ctx, true, func() string {
		q := url.Values{hubapi.QueryFilter: {filter}}
		if s.retained && shown == 0 {
			q.Set(hubapi.QueryKept, "true")
		}
		if asked {
			fmt.Fprintln(s.h.Stderr, "baetyl: the connection was lost: messages may be left out here")
		}
		asked = true
		return at(hubapi.Messages + "?" + q.Encode())
	}, func(lines *http.Lines) error {
		var m hubapi.Message
		err := lines.Next(&m)
		if errors.Is(err, io.EOF) {
			return errors.New("the hub has ended the stream")
		}
		if err == nil {
			err = s.write(m)
		}
		if err != nil || m.Missed > 0 {
			return err
		}
		if shown++; shown == s.count {
			return errShown
		}
		return nil
	})
	if errors.Is(err, errShown) {
		return nil
	}
	return err
}

func (s subscription) write(m hubapi.Message) error {
	payload := []byte(m.Payload)
	if len(m.Base64) > 0 {
		payload = m.Base64
	}
	if !s.raw {
		return s.h.Out.Line(m, func() string { return out.Harmless(lineOf(m, payload)) })
	}
	switch {
	case m.Missed > 0:
		fmt.Fprintf(s.h.Stderr, "baetyl: %d messages are left out here\n", m.Missed)
	case m.Cut:
		fmt.Fprintf(s.h.Stderr, "baetyl: a payload of %d bytes is left out here\n", m.Size)
	}
	_, err := s.h.Out.Write(payload)
	return err
}

// mostShown is how many bytes of a payload a line for people has.
const mostShown = 4 << 10

// lineOf is a message for people.
func lineOf(m hubapi.Message, payload []byte) string {
	if m.Missed > 0 {
		return fmt.Sprintf("… %d messages left out: they were not read in time", m.Missed)
	}
	var b strings.Builder
	if !m.Time.IsZero() {
		b.WriteString(m.Time.Local().Format("15:04:05.000 "))
	}
	fmt.Fprintf(&b, "%s qos=%d", m.Topic, m.QOS)
	switch {
	case m.Kept:
		b.WriteString(" retained")
	case m.Retain:
		b.WriteString(" retain")
	}
	if m.Client != "" || m.User != "" {
		fmt.Fprintf(&b, " from=%s/%s", m.User, m.Client)
	}
	b.WriteString(": ")
	switch {
	case m.Cut:
		fmt.Fprintf(&b, "(%d bytes)", m.Size)
	case len(payload) > mostShown:
		fmt.Fprintf(&b, "%s… (%d bytes; -o json has all)", strings.ToValidUTF8(string(payload[:mostShown]), ""), m.Size)
	default:
		b.Write(payload)
	}
	return b.String()
}

func (h hub) top() *cobra.Command {
	t := top{h: h}
	c := h.command("top", "Show which clients and users publish most now",
		"  baetyl hub top\n  baetyl hub top --by user --once", noArgs,
		func(ctx context.Context, _ []string, c *http.Client, at func(string) string) error {
			if t.by != "client" && t.by != "user" || t.interval < 100*time.Millisecond || t.most < 1 {
				return misused("use --by client or user, --interval from 100ms on, and --lines from 1 on")
			}
			return t.run(ctx, func() ([]hubapi.Client, error) {
				return hubPages[hubapi.Client](ctx, c, at, hubapi.Clients, url.Values{})
			})
		})
	c.Long = "Show which clients and users publish most, measured over the interval. On a terminal it goes on until\n" +
		"Ctrl-C; else, with -o or with --once it measures once."
	c.Flags().DurationVar(&t.interval, "interval", 2*time.Second, "how long to measure")
	c.Flags().IntVar(&t.most, "lines", 20, "how many to show")
	c.Flags().StringVar(&t.by, "by", "client", "client or user")
	c.Flags().BoolVar(&t.once, "once", false, "measure once")
	h.formatFlag(c)
	return c
}

// top measures who publishes how much.
type top struct {
	h        hub
	interval time.Duration
	most     int
	by       string
	once     bool
}

// rate is what a client, or all of a user, publishes.
type rate struct {
	Client   string  `json:"client,omitempty"`
	User     string  `json:"user"`
	Address  string  `json:"address,omitempty"`
	Clients  int     `json:"clients"`
	Messages float64 `json:"messages_per_second"`
	Bytes    float64 `json:"bytes_per_second"`
	Queued   int     `json:"queued"`
	Dropped  uint64  `json:"dropped"`
}

func (t top) run(ctx context.Context, get func() ([]hubapi.Client, error)) error {
	live := t.h.Out.Terminal() != nil && !t.once && t.h.Out.Format == ""
	before, err := get()
	begin := time.Now()
	for err == nil {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(t.interval):
		}
		var now []hubapi.Client
		if err = twice(func() (err error) { now, err = get(); return err }); err != nil {
			break
		}
		took := time.Since(begin)
		begin = time.Now()
		rates := ratesOf(before, now, took, t.by == "user")
		if live {
			fmt.Fprint(t.h.Out, "\x1b[H\x1b[2J")
		}
		if err = t.print(rates, len(now)); err != nil || !live {
			return err
		}
		before = now
	}
	return err
}

func (t top) print(rates []rate, clients int) error {
	shown := rates[:min(len(rates), t.most)]
	return t.h.Out.Print(map[string]any{"items": shown}, func(rows *out.Rows) {
		rows.Add(fmt.Sprintf("%d clients, over %s", clients, t.interval))
		head := []string{"MESSAGES/S", "BYTES/S", "QUEUED", "DROPPED", "USER"}
		if t.by == "user" {
			head = append(head, "CLIENTS")
		} else {
			head = append(head, "CLIENT", "ADDRESS")
		}
		rows.Head(head...)
		for _, r := range shown {
			cells := []any{fmt.Sprintf("%.1f", r.Messages), fmt.Sprintf("%.0f", r.Bytes), r.Queued, droppedCell(r.Dropped),
				r.User}
			if t.by == "user" {
				cells = append(cells, r.Clients)
			} else {
				cells = append(cells, r.Client, r.Address)
			}
			rows.Add(cells...)
		}
	})
}

// ratesOf compares two lists of clients: those who publish most come first. What a connection has published before
// counts only if it is new.
func ratesOf(before, now []hubapi.Client, took time.Duration, byUser bool) []rate {
	type key struct {
		client string
		since  time.Time
	}
	old := map[key]hubapi.Client{}
	for _, c := range before {
		old[key{c.Client, c.Since}] = c
	}
	all := map[string]*rate{}
	for _, c := range now {
		was := old[key{c.Client, c.Since}]
		name := c.Client
		if byUser {
			name = c.User
		}
		r := all[name]
		if r == nil {
			r = &rate{User: c.User}
			if !byUser {
				r.Client, r.Address = c.Client, c.Address
			}
			all[name] = r
		}
		r.Clients++
		r.Messages += float64(c.Published-was.Published) / took.Seconds()
		r.Bytes += float64(c.Bytes-was.Bytes) / took.Seconds()
		r.Queued += c.Queued
		r.Dropped += c.Dropped
	}
	list := make([]rate, 0, len(all))
	for _, r := range all {
		list = append(list, *r)
	}
	slices.SortFunc(list, func(a, b rate) int {
		switch {
		case a.Bytes != b.Bytes && a.Bytes > b.Bytes, a.Bytes == b.Bytes && a.User+"\x00"+a.Client < b.User+"\x00"+b.Client:
			return -1
		}
		return 1
	})
	return list
}
