package eval_test

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/baetyl/baetyl/utils/sql/eval"
	"github.com/baetyl/baetyl/utils/sql/parse"
)

// FuzzRun: no statement and no message makes a panic; the result is JSON, the same for the same message, and an
// error names a place in the statement. The seeds are the golden table.
func FuzzRun(f *testing.F) {
	data, err := os.ReadFile("testdata/golden.txt")
	if err != nil {
		f.Fatal(err)
	}
	for block := range strings.SplitSeq(string(data), "\n\n") {
		statement, message := "", "{}"
		for line := range strings.SplitSeq(block, "\n") {
			if m, ok := strings.CutPrefix(line, "< "); ok {
				message = m
			} else if strings.HasPrefix(line, "select") {
				statement = line
			}
		}
		f.Add(statement, message)
	}
	f.Fuzz(func(t *testing.T, statement, message string) {
		q, err := compile(statement)
		if err != nil {
			place(t, statement, err)
			return
		}
		m := eval.Message{Topic: "a/b", Payload: []byte(message), Now: time.Unix(1569248128, 0)}
		out, err := q.Run(m)
		if err != nil {
			if wrong := new(parse.Error); errors.As(err, &wrong) {
				place(t, statement, err)
			}
			return
		}
		if out != nil && (out[0] != '{' || !json.Valid(out)) {
			t.Fatalf("%q of %q is %q", statement, message, out)
		}
		again, err := q.Run(m)
		if err != nil || !strings.Contains(strings.ToLower(statement), "uuid") && string(again) != string(out) {
			t.Fatalf("%q of %q is first %q, then %q, %v", statement, message, out, again, err)
		}
	})
}

// place checks that err points into the statement, or just behind it.
func place(t *testing.T, statement string, err error) {
	wrong := new(parse.Error)
	if !errors.As(err, &wrong) {
		t.Fatalf("%q: %v has no place", statement, err)
	}
	lines := strings.Split(statement, "\n")
	if p := wrong.Pos; p.Line < 1 || p.Line > len(lines) || p.Col < 1 || p.Col > len([]rune(lines[p.Line-1]))+1 {
		t.Fatalf("%q: %v is outside", statement, err)
	}
}
