package update

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/faultfs"
	"github.com/baetyl/baetyl/master/application"
	"github.com/baetyl/baetyl/protocol/app"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// An update that takes the way back is refused with the remedy, unless it is forced.
func TestWayBack(t *testing.T) {
	const (
		agent = "{name: agent, image: 'hub.example/baetyl-agent:1', replica: 1}"
		own   = "{name: own, image: i, replica: 1, api: [update]}"
		other = "{name: other, image: i, replica: 1}"
	)
	parse := func(services string) *app.Config {
		c, err := app.Parse("f", []byte("services: ["+services+"]\n"))
		require.NoError(t, err)
		return c
	}
	for name, c := range map[string]struct {
		from, to string
		by       string
		lost     string // empty: nothing is lost
	}{
		"the same":                      {agent, agent, "agent", ""},
		"another image of it":           {agent, "{name: agent, image: baetyl-agent:2, replica: 2}", "agent", ""},
		"an agent of one's own":         {own, "{name: own, image: j, replica: 1, api: [update, inspect]}", "own", ""},
		"other services":                {agent + "," + other, agent, "agent", ""},
		"the first application":         {"", other, "", ""},
		"nothing to lose":               {other, "", "", ""},
		"by a person":                   {agent, agent + "," + other, "", ""},
		"one of two agents":             {agent + "," + own, agent, "agent", ""},
		"nothing at all":                {agent, "", "agent", "it has no service agent, which asks for this update"},
		"the requester":                 {agent + "," + own, agent, "own", "it has no service own"},
		"the requester has a new name":  {agent, "{name: agent2, image: baetyl-agent, replica: 1}", "agent", "it has no service agent"},
		"no instance":                   {agent, "{name: agent, image: baetyl-agent}", "agent", "would not run any more (replica: 0)"},
		"no right":                      {agent, "{name: agent, image: baetyl-agent, replica: 1, api: [inspect]}", "agent", `its right "update" is gone`},
		"no right by another image":     {agent, "{name: agent, image: baetyl-timer, replica: 1}", "agent", `its right "update" is gone`},
		"the agent, by another service": {agent + "," + own, own, "own", "no agent would be left that may update the device, as service agent does now"},
		"the agent, by a person":        {agent + "," + other, other, "", "no agent would be left"},
		"the last one, by a person":     {own, "{name: own, image: i, api: [update]}", "", "no service would be left that may update the device, as service own"},
	} {
		t.Run(name, func(t *testing.T) {
			lost := lostWay(parse(c.from), parse(c.to), c.by)
			if c.lost == "" {
				require.Empty(t, lost)
				return
			}
			require.Contains(t, lost, c.lost)
			require.Contains(t, lost, `"force": true`)
		})
	}

	v := newVictim(t, faultfs.New(t, faultfs.Fault{}))
	v.write(application.File, fmt.Sprintf("version: old\nservices: [%s]\n", agent))
	v.write("var/db/baetyl/next/application.yml", fmt.Sprintf("version: new\nservices: [%s]\n", other))
	p := v.boot(v.opts.Disk)
	defer p.end()
	p.idle()
	r := masterapi.UpdateRequest{Trace: "t", Path: "var/db/baetyl/next"}
	err := p.Request(r, masterapi.By{Service: "agent"})
	require.ErrorIs(t, err, masterapi.ErrRefused)
	require.ErrorContains(t, err, "next/application.yml: it has no service agent")
	require.Empty(t, v.steps())
	r.Force = true
	require.NoError(t, p.Request(r, masterapi.By{Service: "agent"}))
	p.idle()
	require.Equal(t, []string{"other"}, p.fake.Running())
}
