package agent

import (
	"math/big"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-agent/agenttest"
	"github.com/baetyl/baetyl/protocol/app"
)

// The configurations in docs/agent.md load, with other certificate files.
func TestSamplesOfTheDocuments(t *testing.T) {
	text, err := os.ReadFile("../../docs/agent.md")
	require.NoError(t, err)
	blocks := strings.Split(string(text), "```yaml\n")
	require.Len(t, blocks, 3)
	sample := func(n int) string { s, _, _ := strings.Cut(blocks[n], "```"); return s }
	a, err := app.Parse("application.yml", []byte(sample(1)))
	require.NoError(t, err)
	require.Equal(t, "var/db/baetyl", a.Volume("agent-volumes").Path)

	ca := agenttest.NewAuthority(t)
	dev := ca.Issue("dev1", big.NewInt(1))
	here := strings.NewReplacer(
		"var/db/baetyl/cert/ca.pem", ca.CA,
		"var/db/baetyl/cert/client.pem", dev.Cert,
		"var/db/baetyl/cert/client.key", dev.Key,
	)
	c, err := load(here.Replace(sample(2)))
	require.NoError(t, err)
	require.Equal(t, "$baidu/iot/edge/dev1/core/backward", c.desireTopic())
}
