//go:build unix

package native_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/engine"
	"github.com/baetyl/baetyl/master/engine/native"
)

// A package without a program runs that of the installation, with its own arguments in front of the service's, under
// the name of the instance; also where the installation lies below a folder that only root may enter.
func TestProgramOfTheInstallation(t *testing.T) {
	for name, users := range map[string]bool{"users": true, "plain": false} {
		t.Run(name, func(t *testing.T) {
			if users {
				needsRoot(t)
			}
			h := newHost(t, func(o *native.Options) {
				if users {
					withUsers(t)(o)
				}
				o.Program = o.Workdir + "/root/bin/baetyl"
			})
			h.write(t, "root/bin/baetyl", "#!/bin/sh\necho \"$@\"\n", 0o755)
			require.NoError(t, os.Chmod(h.path("root"), 0o700))
			s := h.service(t, "svc", "echo not this")
			s.Args = []string{"-c", "x y"}
			h.write(t, "var/db/baetyl/pkg-svc/package.yml", "entry: '@baetyl'\nargs: [module, baetyl-hub]\n", 0o644)
			require.NoError(t, h.Check(s))
			require.Equal(t, []string{"module baetyl-hub -c x y"}, h.once(t, s))
		})
	}
}

// A master that does not know its program says so; no file of the package is taken for it.
func TestProgramOfTheInstallationIsNotKnown(t *testing.T) {
	h := newHost(t)
	s := h.service(t, "svc", "echo not this")
	h.write(t, "var/db/baetyl/pkg-svc/@baetyl", "#!/bin/sh\necho nor this\n", 0o755)
	h.write(t, "var/db/baetyl/pkg-svc/package.yml", "entry: '@baetyl'\n", 0o644)
	require.EqualError(t, h.Check(s),
		"lib/baetyl/pkg/package.yml: entry: this master does not know its own program, which @baetyl means")
	box, err := h.Open(t.Context(), s)
	require.NoError(t, err)
	_, err = box.Start(t.Context(), engine.Spec{Name: "svc"})
	require.ErrorContains(t, err, "does not know its own program")
}

// A package whose runtime was not made ready does not start, and the error says what makes it so.
func TestPackageThatIsNotPrepared(t *testing.T) {
	h := newHost(t)
	s := h.service(t, "svc", "echo up")
	h.write(t, "var/db/baetyl/pkg-svc/function.yml", "prepared: venv/prepared\n", 0o644)
	require.ErrorContains(t, h.Check(s), "the package is not prepared, venv/prepared is missing; run once, with network: "+
		h.path("var/db/baetyl/pkg-svc/bin/prepare"))
	h.write(t, "var/db/baetyl/pkg-svc/venv/prepared", "", 0o644)
	require.NoError(t, h.Check(s))
	require.Equal(t, []string{"up"}, h.once(t, s))
}
