package masterapi_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/protocol/masterapi"
)

func TestPrunedForPeople(t *testing.T) {
	require.Equal(t, "there is nothing to remove", masterapi.Pruned{}.String())
	p := masterapi.Pruned{
		Removed: []masterapi.PrunedItem{{Kind: "image", Name: "a:1", Bytes: 3<<20 + 1}, {Kind: "volume", Name: "v"}},
		Failed:  []masterapi.PrunedItem{{Kind: "network", Name: "n", Error: "in use"}},
		Note:    "a note",
	}
	require.Equal(t, "removed image a:1 (4 MB)\nremoved volume v\ncannot remove network n: in use\na note", p.String())
	p.DryRun = true
	require.Contains(t, p.String(), "would remove image a:1")
}
