package cmd_test

import (
	_ "embed"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/cmd"
)

var update = flag.Bool("update", false, "write docs/cli.md and docs/man/baetyl.1 anew")

// The reference and the man page are made of the commands: `go generate ./cmd` writes them.
func TestReferenceIsFresh(t *testing.T) {
	for path, text := range map[string]string{
		"../docs/cli.md": reference(cmd.Root()), "../docs/man/baetyl.1": manual(cmd.Root()),
	} {
		if *update {
			require.NoError(t, os.MkdirAll("../docs/man", 0o755))
			require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		}
		old, err := os.ReadFile(path)
		require.NoError(t, err)
		require.True(t, string(old) == text, "%s is not what the commands say: run go generate ./cmd", path)
	}
}

// Whoever asks for help gets an example, and text that fits a terminal.
func TestEveryCommandHelps(t *testing.T) {
	each(cmd.Root(), func(c *cobra.Command) {
		require.NotEmpty(t, c.Short, c.CommandPath())
		require.False(t, strings.HasSuffix(c.Short, "."), c.CommandPath())
		if c.Runnable() {
			require.Contains(t, c.Example, "  baetyl", c.CommandPath())
		}
		for line := range strings.Lines(c.Long + "\n" + c.Example) {
			require.LessOrEqual(t, len([]rune(strings.TrimSpace(line))), 120, "%s: %s", c.CommandPath(), line)
		}
		if c.HasSubCommands() && c.HasParent() {
			_, errs, status := execute(strings.Fields(c.CommandPath())[1:]...)
			require.Equal(t, 2, status, c.CommandPath())
			require.Contains(t, errs, "say what to do: one of", c.CommandPath())
		}
	})
}

// each calls f for c and the commands below it that help shows, in its order.
func each(c *cobra.Command, f func(*cobra.Command)) {
	f(c)
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() && sub.Name() != "help" && sub.Name() != "completion" {
			each(sub, f)
		}
	}
}

// intro is what stands before the commands.
//
//go:embed testdata/cli.md
var intro string

// reference is docs/cli.md.
func reference(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString(intro)
	each(root, func(c *cobra.Command) {
		fmt.Fprintf(&b, "## %s\n\n", c.CommandPath())
		if !c.HasParent() {
			b.WriteString("Without a command: how the device is, and what to type next.\n\n")
		} else {
			fmt.Fprintf(&b, "%s.\n\n", c.Short)
		}
		if c.HasParent() && c.Long != "" {
			fmt.Fprintf(&b, "%s\n\n", strings.ReplaceAll(c.Long, "<", "&lt;"))
		}
		if c.HasSubCommands() && c.HasParent() {
			return
		}
		fmt.Fprintf(&b, "```\n%s\n", c.UseLine())
		if flags := usages(c); flags != "" {
			fmt.Fprintf(&b, "\n%s", flags)
		}
		b.WriteString("```\n\n")
		if c.Example != "" {
			fmt.Fprintf(&b, "```\n%s\n```\n\n", strings.ReplaceAll(strings.TrimPrefix(c.Example, "  "), "\n  ", "\n"))
		}
	})
	return strings.TrimSpace(b.String()) + "\n"
}

// usages are the flags of c but -h.
func usages(c *cobra.Command) string {
	var out strings.Builder
	for line := range strings.Lines(c.NonInheritedFlags().FlagUsages() + c.InheritedFlags().FlagUsages()) {
		if !strings.Contains(line, "--help ") {
			out.WriteString(line)
		}
	}
	return out.String()
}

// manual is the man page.
func manual(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString(".TH BAETYL 1 \"\" \"Baetyl\" \"Baetyl\"\n.SH NAME\n" +
		"baetyl \\- run the services of an application on an edge device\n.SH SYNOPSIS\n.B baetyl\n[\\fICOMMAND\\fR] [\\fIFLAGS\\fR]\n.SH COMMANDS\n")
	each(root, func(c *cobra.Command) {
		if !c.Runnable() || c.HasSubCommands() && c.HasParent() {
			return
		}
		fmt.Fprintf(&b, ".SS %s\n%s.\n", roff(c.UseLine()), roff(c.Short))
		if c.Long != "" {
			fmt.Fprintf(&b, ".PP\n%s\n", strings.ReplaceAll(roff(c.Long), "\n\n", "\n.PP\n"))
		}
		c.NonInheritedFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name == "help" {
				return
			}
			name := "--" + f.Name
			if f.Shorthand != "" {
				name = "-" + f.Shorthand + ", " + name
			}
			fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(name), roff(f.Usage))
		})
		if c.Example != "" {
			fmt.Fprintf(&b, ".PP\n.nf\n%s\n.fi\n", roff(c.Example))
		}
	})
	b.WriteString(".SH EXIT STATUS\n" +
		"0: done. 1: failed or rolled back. 2: wrong use. 78: a file of the configuration is wrong.\n" +
		".SH ENVIRONMENT\n.TP\n.B NO_COLOR\nno colours\n.TP\n.B TERM=dumb\nno colours, nothing that redraws\n")
	return b.String()
}

// roff escapes what means something to it.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\\`, "-", `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for n, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[n] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}
