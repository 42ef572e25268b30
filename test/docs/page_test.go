// Package docs_test reads the documents from top to bottom, and does what they say, as a reader would: in a fresh copy
// of the repository, with a shell and some more terminals.
//
//	README.md, docs/*.md ─► steps: blocks of code, and comments before or between them ─► reader: shell, terminals
//
// What a block is for stands in a comment before it, which a reader does not see:
//
//	(none)                          a block of commands (shell, sh, console): they run, one after the other
//	<!-- run: fails -->             they run, and the last one ends with another status than 0
//	<!-- run: terminal, until X --> they run on in a terminal of their own, ready when the regular expression X is there
//	<!-- run: terminals -->         each line runs on in a terminal of its own, but for the last one
//	<!-- run: table -->             each line is a command, two blanks or more, and what it does
//	<!-- run: shows -->             the lines of the block are in the output of what ran before; … and digits may differ
//	<!-- run: write PATH -->        the block is written to a file, as the text says
//	<!-- run: part of PATH -->      this YAML is a part of that file of the repository
//	<!-- run: config MODULE -->     this YAML is a configuration that the module loads (configs in config_test.go)
//	<!-- run: by TestX, … -->       another test runs it; why this one does not
//	<!-- run: not, REASON -->       nobody runs it
//
// And between blocks, for what the text says in words:
//
//	<!-- run: example -->           the example runs, and the reader is in its folder
//	<!-- run: do COMMAND -->        the reader does this
//	<!-- run: wait COMMAND -->      the reader waits until this succeeds
//	<!-- run: stop X -->            Ctrl-C in the terminal whose commands have X
//
// A block that is neither run nor has a comment that says why fails TestBlocks, which is a unit test.
package docs_test

import (
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// root is the folder of the repository.
const root = "../.."

// step is a block of a page, or a comment that stands alone.
type step struct {
	line int    // of the page
	lang string // of a block
	text string // of a block
	verb string // of the comment; empty: there is none
	rest string // what follows the verb
}

// commands are the languages of blocks that a reader types.
var commands = []string{"shell", "sh", "console"}

// harmless are those of blocks that need no comment: output, drawings and data.
var harmless = []string{"text", "json", "pem", "key", "body", "content"}

var verbs = []string{
	"fails", "terminals", "terminal,", "table", "shows", "write", "part of", "config", "by", "not,", "example", "do", "wait", "stop",
}

// alone are the verbs that belong to no block.
var alone = []string{"example", "do", "wait", "stop"}

var (
	comment = regexp.MustCompile(`^\s*<!-- run: (.*) -->$`)
	fence   = regexp.MustCompile("^(\\s*)```(\\w*)$")
	between = regexp.MustCompile("^(`[^`]+`)?$") // what may stand between a comment and its block: its name
)

// stepsOf reads a page.
func stepsOf(t *testing.T, name, page string) (out []step) {
	t.Helper()
	var next step // has what the comment says
	lines := strings.Split(page, "\n")
	for n := 0; n < len(lines); n++ {
		if m := comment.FindStringSubmatch(lines[n]); m != nil {
			require.Empty(t, next.verb, "%s:%d: the comment above has no block", name, n+1)
			next.line = n + 1
			next.verb, next.rest = verbOf(m[1])
			require.NotEmpty(t, next.verb, "%s:%d: use one of %s", name, n+1, verbs)
			if slices.Contains(alone, next.verb) {
				out = append(out, next)
				next = step{}
			}
			continue
		}
		m := fence.FindStringSubmatch(lines[n])
		if m == nil {
			require.True(t, next.verb == "" || between.MatchString(lines[n]), "%s:%d: a comment has to be before a block", name,
				next.line)
			continue
		}
		next.line, next.lang = n+1, m[2]
		for n++; strings.TrimSpace(lines[n]) != "```"; n++ {
			next.text += strings.TrimPrefix(strings.TrimPrefix(lines[n], m[1]), "$ ") + "\n"
		}
		out = append(out, next)
		next = step{}
	}
	return out
}

func verbOf(text string) (verb, rest string) {
	for _, v := range verbs {
		if rest, ok := strings.CutPrefix(text+" ", v+" "); ok {
			return v, strings.TrimSpace(rest)
		}
	}
	return "", ""
}

// pages calls f with each document. cli.md is generated, and its tests are those of the commands.
func pages(t *testing.T, f func(name string, steps []step)) {
	t.Helper()
	for _, pattern := range []string{"README.md", "CONTRIBUTING.md", "docs/*.md", "docs/tutorials/*.md"} {
		names, err := fs.Glob(os.DirFS(root), pattern)
		require.NoError(t, err)
		for _, name := range names {
			if name == "docs/cli.md" {
				continue
			}
			page, err := os.ReadFile(root + "/" + name)
			require.NoError(t, err)
			f(name, stepsOf(t, name, string(page)))
		}
	}
}

// No block is forgotten: it is run, or a comment says who runs it, or why nobody does.
func TestBlocks(t *testing.T) {
	pages(t, func(name string, steps []step) {
		for _, s := range steps {
			if s.verb == "" && !slices.Contains(commands, s.lang) && !slices.Contains(harmless, s.lang) {
				t.Errorf("%s:%d: nobody runs this block (%s): write a comment before it; test/docs/page_test.go lists them", name,
					s.line, s.lang)
			}
			if s.verb == "by" && !regexp.MustCompile(`^Test[A-Z]`).MatchString(s.rest) {
				t.Errorf("%s:%d: by %s: name the test", name, s.line, s.rest)
			}
		}
	})
}

func TestStepsOf(t *testing.T) {
	page := "a\n<!-- run: wait x y -->\n\n```shell\n$ one\n```\n" +
		"  <!-- run: write a/b -->\n\n  ```yaml\n  k:\n    - v\n  ```\n"
	require.Equal(t, []step{
		{line: 2, verb: "wait", rest: "x y"},
		{line: 4, lang: "shell", text: "one\n"},
		{line: 9, lang: "yaml", text: "k:\n  - v\n", verb: "write", rest: "a/b"},
	}, stepsOf(t, "x", page))
}

// shown tells whether a line of a block is in an output: blanks, what … stands for, and words with digits may differ.
func shown(line, output string) bool {
	pattern := regexp.QuoteMeta(strings.TrimSpace(line))
	pattern = strings.ReplaceAll(pattern, "…", ".*")
	pattern = regexp.MustCompile(`[0-9a-f]*[0-9][0-9a-f]*`).ReplaceAllString(pattern, "[0-9a-f]+")
	pattern = regexp.MustCompile(` +`).ReplaceAllString(pattern, ` +`)
	return regexp.MustCompile(`(?m)^\s*` + pattern + `\s*$`).MatchString(output)
}

func TestShown(t *testing.T) {
	output := "one\n  t/py3hi {\"id\": 12, \"at\": 1795375583} \nv2  seen 3s ago"
	for line, want := range map[string]bool{
		"one": true, `t/py3hi {"id": 1, "at": 1569248128}`: true, "v2 seen 1s ago": true, "v2 … ago": true,
		"on": false, `t/py3hi {"id": x, "at": 1}`: false,
	} {
		require.Equal(t, want, shown(line, output), line)
	}
}
