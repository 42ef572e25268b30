package redact_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/baetyl/baetyl/utils/redact"
)

func values(t *testing.T, texts ...string) (out []string) {
	var in []any
	for _, text := range texts {
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		in = append(in, v)
	}
	for _, v := range redact.Values(in...) {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(data))
	}
	return out
}

// Harmless variables are shown, secrets are not: by name, by form, after their flag, and wherever else they stand.
func TestValues(t *testing.T) {
	for in, want := range map[string]string{
		`{"env":{"MODE":"fast","LEVEL":"v1.2.3-abc","N":1,"ON":true,"NO":null}}`:  "",
		`{"env":{"URL":"tcp://h:1883","KEYBOARD":"de","PWD":"/x","AUTHOR":"me"}}`: "",
		`{"env":{"DB_PASSWORD":"hunter22","EMPTY_TOKEN":""}}`:                     `{"env":{"DB_PASSWORD":"***","EMPTY_TOKEN":""}}`,
		`{"env":{"SIGNING_KEY":"x","HUB_AUTH":"y","PIN":1234}}`:                   `{"env":{"HUB_AUTH":"***","PIN":"***","SIGNING_KEY":"***"}}`,
		`{"env":{"URL":"tcp://u:p@h:1"}}`:                                         `{"env":{"URL":"tcp://u:***@h:1"}}`,
		`{"env":{"CONF":"hub: x\npassword: ab\n"}}`:                               `{"env":{"CONF":"hub: x\npassword: ***\n"}}`,
		`{"args":["-v","--token","ab","x"]}`:                                      `{"args":["-v","--token","***","x"]}`,
		`{"args":["--secret=s3cret-1","--level=1"]}`:                              `{"args":["--secret=***","--level=1"]}`,
		`{"env":{"A_TOKEN":"image"},"image":"my/image:1"}`:                        `{"env":{"A_TOKEN":"***"},"image":"my/***:1"}`,
		`{"env":{"A_TOKEN":"4711","B":4711},"token":{"file":"x"}}`:                `{"env":{"A_TOKEN":"***","B":"***"},"token":{"file":"x"}}`,
		`{"tokens":["a",["b"]]}`:                                                  `{"tokens":["***",["***"]]}`,
	} {
		if want == "" {
			var v any
			if err := json.Unmarshal([]byte(in), &v); err != nil {
				t.Fatal(err)
			}
			data, _ := json.Marshal(v) // the order of keys
			want = string(data)
		}
		if got := values(t, in)[0]; got != want {
			t.Errorf("%s\n is %s\nnot %s", in, got, want)
		}
	}
	got := values(t, `{"A":"x hunter22"}`, `{"PASSWORD":"hunter22"}`)
	if strings.Contains(strings.Join(got, ""), "hunter22") {
		t.Errorf("what is a secret in the second is shown in the first: %s", got)
	}
}

func FuzzValues(f *testing.F) {
	f.Add(`{"env":{"A_TOKEN":"hunter22","B":["hunter22",1,null]}}`, "hunter22")
	f.Add(`["--password","x"]`, "x")
	f.Fuzz(func(t *testing.T, text, secret string) {
		var v any
		if json.Unmarshal([]byte(text), &v) != nil {
			return
		}
		out := redact.Values(v, map[string]any{"password": secret})
		if shown := out[1].(map[string]any)["password"]; secret != "" && shown != redact.Stars {
			t.Errorf("%q is shown", shown)
		}
		if !alike(v, out[0]) {
			t.Errorf("%s has another form: %v", text, out[0])
		}
	})
}

// alike tells whether two values have the same lists and keys.
func alike(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		m, ok := b.(map[string]any)
		for k := range a {
			_, there := m[k]
			ok = ok && there && alike(a[k], m[k])
		}
		return ok && len(m) == len(a)
	case []any:
		l, ok := b.([]any)
		if !ok || len(l) != len(a) {
			return false
		}
		for i := range a {
			if !alike(a[i], l[i]) {
				return false
			}
		}
		return true
	case nil:
		return b == nil
	}
	return b != nil
}
