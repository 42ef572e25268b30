package redact

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v2"

	"github.com/baetyl/baetyl/utils/pattern"
)

var (
	secretKey  = pattern.Lazy(`(?i)(?:` + words + `|(?:^|[_.-])(?:pass|pin|otp|dsn)$)`)
	secretFlag = pattern.Lazy(`(?i)^--?[A-Za-z0-9-]*(?:` + words + `|pass)[A-Za-z0-9-]*$`)
)

// maxTree is the largest text that is read as a tree, in bytes.
const maxTree = 4 << 20

// tree learns from a text of YAML, which JSON is too: values over several lines, and arguments that follow their flag.
func (r *Redactor) tree(text []byte) {
	var v any
	if len(text) > maxTree || yaml.Unmarshal(text, &v) != nil {
		return
	}
	r.walk(v, false, 0)
}

const maxDepth = 100

// walk learns from v; secret: it stands at the place of one.
func (r *Redactor) walk(v any, secret bool, depth int) {
	if depth > maxDepth {
		return
	}
	switch v := v.(type) {
	case map[any]any:
		for k, value := range v {
			name := fmt.Sprint(k)
			_, nested := value.(map[any]any) // {file: x}: what is in it is said by its own keys
			r.walk(value, !nested && (secret || secretKey().MatchString(name)), depth+1)
			if variables[strings.ToLower(name)] {
				r.environment(value)
			}
		}
	case []any:
		for i, value := range v {
			after := false
			if i > 0 {
				before, ok := v[i-1].(string)
				after = ok && secretFlag().MatchString(before)
			}
			r.walk(value, secret || after, depth+1)
		}
	case nil:
	default:
		if secret {
			r.Add(fmt.Sprint(v))
		}
	}
}

var variables = map[string]bool{"env": true, "environment": true, "vars": true}

// environment learns what looks like a secret among the variables of a service: a mapping, or a list of NAME=value.
func (r *Redactor) environment(v any) {
	learn := func(value any) {
		if text := fmt.Sprint(value); random(text) {
			r.Add(text)
		}
	}
	switch v := v.(type) {
	case map[any]any:
		for _, value := range v {
			learn(value)
		}
	case []any:
		for _, item := range v {
			_, value, _ := strings.Cut(fmt.Sprint(item), "=")
			learn(value)
		}
	}
}
