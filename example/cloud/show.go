package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/baetyl/baetyl/protocol/cloud"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// show prints what a device has reported last, and how its updates went.
func (s *store) show(device string, out io.Writer, now time.Time) error {
	if _, err := s.certificate(device); err != nil {
		return err
	}
	st, pushes, err := s.state(device)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if n := len(st.Reports); n == 0 {
		fmt.Fprintf(w, "%s\tnever seen\n", device)
	} else {
		var r cloud.Report
		if err := json.Unmarshal(st.Reports[n-1].Content, &r); err != nil {
			return err
		}
		fmt.Fprintf(w, "%s\tseen %s ago\n", device, now.Sub(st.Reports[n-1].Time).Round(time.Second))
		fmt.Fprintf(w, "application\t%s\n", plain(r.Software.ConfVersion))
		fmt.Fprintf(
			w,
			"master\t%s\t%s\t%s/%s\n",
			plain(r.Software.BinVersion),
			plain(r.Software.Mode),
			plain(r.Software.OS),
			plain(r.Software.Arch),
		)
		if r.Error != "" {
			fmt.Fprintf(w, "error\t%s\n", plain(r.Error))
		}
		for _, service := range r.Services {
			for _, i := range service.Instances {
				fmt.Fprintf(w, "  %s\t%s\t%d restarts\t%s\n", plain(i.Name), plain(i.Status), i.Restarts, plain(i.Error))
			}
		}
	}
	for _, p := range pushes {
		fmt.Fprintf(w, "%s\t%s\t%s\n", p.Trace, p.Type, plain(p.Version))
		known := st.Updates[p.Trace]
		if len(known.Steps) == 0 && !known.Published.IsZero() {
			fmt.Fprint(w, line(cloud.Progress{Step: "sent", Time: known.Published}))
		}
		for _, step := range known.Steps {
			fmt.Fprint(w, line(step))
		}
	}
	return w.Flush()
}

// wait prints the steps of an update as they are reported, until the last one.
func (s *store) wait(ctx context.Context, device, trace string, out io.Writer) error {
	ticker := time.NewTicker(searchInterval / 4)
	defer ticker.Stop()
	for printed := 0; ; {
		st, _, err := s.state(device)
		if err != nil {
			return err
		}
		p := st.Updates[trace]
		for ; printed < len(p.Steps); printed++ {
			fmt.Fprint(out, line(p.Steps[printed]))
		}
		if last, ok := p.final(); ok && last.Step == masterapi.StepUpdated {
			return nil
		} else if ok {
			return fmt.Errorf("the update ended with %s", last.Step)
		}
		select {
		case <-ctx.Done():
			return errors.New("stopped waiting; the update goes on")
		case <-ticker.C:
		}
	}
}

func line(p cloud.Progress) string {
	return strings.TrimRight(
		fmt.Sprintf("  %-12s %s  %s", plain(p.Step), p.Time.Local().Format(time.DateTime), plain(p.Error)),
		" ",
	) + "\n"
}

// plain keeps what a device says from steering the terminal.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text)
}
