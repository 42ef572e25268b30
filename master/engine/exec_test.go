//go:build unix

package engine_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
)

// The kernel has the last word: what passes can be given to a program, and one byte more than the limit cannot.
func TestCheckExec(t *testing.T) {
	most := 32 * os.Getpagesize()
	run := func(args, env []string) error {
		c := exec.Command("/bin/true", args...)
		c.Env = append([]string{"A=b"}, env...)
		return c.Run()
	}
	fits := strings.Repeat("x", most-1)
	require.NoError(t, engine.CheckExec(nil, []string{fits}, nil))
	require.NoError(t, run([]string{fits}, nil))
	require.ErrorContains(t, engine.CheckExec(nil, []string{"a", fits + "x"}, nil), "args[1] has")
	require.ErrorIs(t, run([]string{"a", fits + "x"}, nil), syscall.E2BIG)
	require.ErrorContains(t, engine.CheckExec([]string{fits + "x"}, nil, nil), "entrypoint[0] has")
	large := "NAME=" + fits
	require.ErrorIs(t, run(nil, []string{large}), syscall.E2BIG)
	require.EqualError(t, engine.CheckExec(nil, nil, []string{large}),
		fmt.Sprintf("env.NAME has %d bytes; a program takes at most %d in one text: ", most+4, most-1)+
			"put it in a file of a volume, and give its path")
}

func TestCheckExecOfAll(t *testing.T) {
	var many []string
	for range 6<<20/(100<<10) + 1 { // more than any limit of the stack allows
		many = append(many, strings.Repeat("x", 100<<10))
	}
	c := exec.Command("/bin/true", many...)
	require.ErrorIs(t, c.Run(), syscall.E2BIG)
	err := engine.CheckExec(nil, many, []string{"A=b"})
	require.ErrorContains(t, err, "args and env have")
	require.ErrorContains(t, err, "the largest is args[0]")
	require.NoError(t, engine.CheckExec(nil, []string{"a"}, []string{"A=b"}))
}
