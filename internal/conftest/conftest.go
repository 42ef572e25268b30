// Package conftest holds modules to the errors that they give for wrong configuration files. The files and the exact
// errors are data:
//
//	== an unknown key
//	mod: native
//	-- error
//	conf.yml: mod: unknown key; did you mean "mode"?
//
// A name that ends in "(escaped)" means that the text is the inside of a Go string, for bytes that an editor would
// spoil. {maxint} in an error stands for the largest int, which depends on the processor.
package conftest

import (
	"flag"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update-errors", false, "write the errors into the tables of wrong configuration files")

// Case is one wrong file.
type Case struct{ Name, Text, Error string }

// Run gives each text of the table at path to parse and compares the error with that of the table. A case without an
// error is one that has to be accepted. Each text is parsed several times: its error has to be the same every time.
func Run(t *testing.T, path string, parse func(text []byte) error) {
	t.Helper()
	cases, err := read(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			text, err := c.bytes()
			if err != nil {
				t.Fatal(err)
			}
			for n := range 5 {
				got := ""
				if err := parse(text); err != nil {
					got = err.Error()
				}
				if *update && n == 0 {
					cases[i].Error = got
				}
				want := strings.ReplaceAll(cases[i].Error, "{maxint}", strconv.Itoa(math.MaxInt))
				if got != want {
					t.Fatalf("%s\ngives     %q\nexpected  %q", c.Text, got, want)
				}
			}
		})
	}
	if *update {
		if err := write(path, cases); err != nil {
			t.Fatal(err)
		}
	}
}

func (c Case) bytes() ([]byte, error) {
	if !strings.HasSuffix(c.Name, "(escaped)") {
		return []byte(c.Text), nil
	}
	text, err := strconv.Unquote(`"` + strings.TrimSuffix(c.Text, "\n") + `"`)
	return []byte(text), err
}

const (
	head = "== "
	tail = "-- error\n"
)

func read(path string) (cases []Case, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for _, part := range strings.Split("\n"+string(data), "\n"+head)[1:] {
		name, rest, _ := strings.Cut(part, "\n")
		text, want, ok := strings.Cut("\n"+rest, "\n"+tail)
		if !ok {
			return nil, fmt.Errorf("%s: %s: there is no line %q", path, name, strings.TrimSpace(tail))
		}
		text = strings.TrimPrefix(text, "\n")
		if text != "" {
			text += "\n"
		}
		cases = append(cases, Case{Name: name, Text: text, Error: strings.TrimSpace(want)})
	}
	return cases, nil
}

func write(path string, cases []Case) error {
	var b strings.Builder
	for _, c := range cases {
		fmt.Fprintf(&b, "%s%s\n%s%s%s\n", head, c.Name, c.Text, tail, c.Error)
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}
