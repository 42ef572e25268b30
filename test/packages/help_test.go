//go:build packages

package packages_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/requires"
)

// Each format brings the man page and what completes commands in three shells, where its systems look for it.
func TestHelpIsInEachFormat(t *testing.T) {
	requires.Command(t, "rpm", "apt-get install rpm")
	name := "baetyl-" + version + "-linux-amd64"
	for _, format := range []struct{ below, zsh, list string }{
		{"./usr/share", "zsh/vendor-completions", command(t, nil, "sh", "-c",
			"dpkg-deb --fsys-tarfile '"+artifact(t, "-linux-amd64.deb")+"' | tar -t")},
		{"/usr/share", "zsh/site-functions", command(t, nil, "rpm", "-qlp", artifact(t, "-linux-amd64.rpm"))},
		{name + "/share", "zsh/site-functions", command(t, nil, "tar", "-tzf", artifact(t, "-linux-amd64.tar.gz"))},
	} {
		for _, file := range []string{"man/man1/baetyl.1.gz", "bash-completion/completions/baetyl",
			"fish/vendor_completions.d/baetyl.fish", format.zsh + "/_baetyl"} {
			require.Contains(t, strings.Split(format.list, "\n"), format.below+"/"+file)
		}
	}
}

// A person types TAB in the bash of a device, with Debian's bash-completion.
func TestCompletionInBash(t *testing.T) {
	const loader = "/usr/share/bash-completion/bash_completion"
	if _, err := os.Stat(loader); err != nil {
		requires.Missing(t, "bash-completion", "apt-get install bash-completion")
	}
	requires.Command(t, "script", "apt-get install bsdutils")
	r := debian(t)
	r.dpkg(artifact(t, "-linux-amd64.deb"))
	require.NoError(t, os.Symlink("/proc/self/fd", r.path("/dev/fd"))) // bash's <(…)
	command(t, nil, "cp", loader, r.path(loader))
	c := exec.Command("unshare", "--mount", "sh", "-c", `mount -t proc proc "$1/proc" &&
		exec script -qec "chroot '$1' /bin/bash --norc --noprofile -i" /dev/null`, "sh", r.dir)
	c.Env = append(os.Environ(), "TERM=dumb")
	c.Stdin = strings.NewReader(". " + loader + "\nbaetyl ser\tsto\t\nexit 0\n")
	out, err := c.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "baetyl service stop ", "ser and sto are completed")
}
