package cmd

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/baetyl/baetyl/cmd/out"
)

// Root is the command line, for what is generated from it.
func Root() *cobra.Command {
	return root(&env{Out: out.New(io.Discard, func(string) string { return "" }), Stderr: io.Discard})
}
