// Package monitoring_test holds example/monitoring to what Prometheus and Grafana take. test/e2e gives both the page of
// a real device.
package monitoring_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/requires"
)

const dir = "../../example/monitoring"

func TestRules(t *testing.T) {
	promtool := requires.Command(t, "promtool", "apt-get install prometheus")
	for _, args := range [][]string{
		{"check", "config", "--lint-fatal", "prometheus.yml"}, {"check", "rules", "--lint-fatal", "rules.yml"},
		{"test", "rules", "rules_test.yml"},
	} {
		cmd := exec.Command(promtool, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "promtool %v: %s", args, out)
	}
}

// board is what Grafana reads of a dashboard, as far as this one uses it.
type board struct {
	Title, UID    string
	SchemaVersion int
	Panels        []panel
	Templating    struct {
		List []struct{ Name, Type, Definition string }
	}
}

type panel struct {
	ID          int
	Type, Title string
	GridPos     struct{ H, W, X, Y int }
	Datasource  map[string]string
	Targets     []struct {
		RefID, Expr string
		Datasource  map[string]string
	}
}

// The board has the structure that Grafana reads: panels with an id of their own, which do not overlap, and whose data
// comes from the source that the user chooses.
func TestBoard(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(dir, "grafana.json"))
	require.NoError(t, err)
	var b board
	require.NoError(t, json.Unmarshal(data, &b))
	require.NotEmpty(t, b.Title)
	require.NotEmpty(t, b.UID)
	require.GreaterOrEqual(t, b.SchemaVersion, 36)
	var variables []string
	for _, v := range b.Templating.List {
		variables = append(variables, v.Name)
	}
	require.Equal(t, []string{"datasource", "device"}, variables)
	ids, cells := map[int]bool{}, map[[2]int]string{}
	for _, p := range b.Panels {
		require.Positive(t, p.ID, p.Title)
		require.False(t, ids[p.ID], "two panels have the id %d", p.ID)
		ids[p.ID] = true
		require.NotEmpty(t, p.Title)
		require.Contains(t, []string{"row", "stat", "timeseries"}, p.Type)
		require.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				require.Empty(t, cells[at], "%s lies on another panel", p.Title)
				cells[at] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		require.NotEmpty(t, p.Targets, p.Title)
		refs := map[string]bool{}
		for _, target := range p.Targets {
			require.NotEmpty(t, target.Expr, p.Title)
			require.Equal(t, "${datasource}", target.Datasource["uid"], p.Title)
			require.False(t, refs[target.RefID], p.Title)
			refs[target.RefID] = true
		}
	}
}
