//go:build linux

package docker

import (
	"context"
	"testing"

	"github.com/docker/docker/api/types/network"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/requires"
	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/utils/log"
)

// Networks go when nobody names them, unless they are another master's, of a version before, or a stranger's.
func TestRemoveNetworks(t *testing.T) {
	e, err := New(Options{Workdir: t.TempDir(), Log: log.New(log.Config{})})
	require.NoError(t, err)
	if err := e.ping(t.Context()); err != nil {
		requires.Missing(t, "a docker daemon ("+err.Error()+")",
			"scripts/dockerd.sh start, and export the DOCKER_HOST that it prints")
	}
	master, err := e.masterID()
	require.NoError(t, err)
	for name, labels := range map[string]map[string]string{
		"t-remove-named": labelled(nil, master), "t-remove-ours": labelled(nil, master),
		"t-remove-others": labelled(nil, "another"), "t-remove-before": {labelBaetyl: labelBaetyl}, "t-remove-stranger": nil,
	} {
		_ = e.api.NetworkRemove(t.Context(), name)
		_, err := e.api.NetworkCreate(t.Context(), name, network.CreateOptions{Driver: "bridge", Labels: labels})
		require.NoError(t, err)
		t.Cleanup(func() { _ = e.api.NetworkRemove(context.Background(), name) })
	}
	named := engine.Named{Networks: map[string]bool{"t-remove-named": true}}
	require.Empty(t, e.Prune(t.Context(), named, engine.Pruning{}).Failed)
	for name, stays := range map[string]bool{
		"t-remove-named": true, "t-remove-ours": false, "t-remove-others": true, "t-remove-before": true,
		"t-remove-stranger": true,
	} {
		have, err := e.networkNamed(t.Context(), name)
		require.NoError(t, err)
		require.Equal(t, stays, have != nil, name)
	}
}
