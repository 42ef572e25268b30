package function

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// The proofs of testdata/pipe.json, which the implementations in other languages are compared with too.
func TestProofVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/pipe.json")
	require.NoError(t, err)
	var v struct {
		Proofs []struct{ Name, Secret, A, B, Runtime, Caller string }
	}
	require.NoError(t, json.Unmarshal(data, &v))
	require.NotEmpty(t, v.Proofs)
	for _, p := range v.Proofs {
		a, err := hex.DecodeString(p.A)
		require.NoError(t, err)
		b, err := hex.DecodeString(p.B)
		require.NoError(t, err)
		require.Equal(t, p.Runtime, hex.EncodeToString(proof(p.Secret, "runtime", a, b)), p.Name)
		require.Equal(t, p.Caller, hex.EncodeToString(proof(p.Secret, "caller", a, b)), p.Name)
	}
}
