package redact

import (
	"fmt"

	"github.com/baetyl/baetyl/utils/pattern"
)

// variable are names that hold a secret where the name is that of a variable or a key, and not a word of a text.
var variable = pattern.Lazy(`(?i)(?:^|[_.-])(?:key|auth|creds|sas)$`)

// Values returns values of JSON without secrets, for persons who operate the device and may read its files: what stands
// at the place of a secret in one of them is in none of them. Other than Clean, it shows variables whose names are
// harmless, as an operator has to see what they are, and what it returns has the form of what it was given.
func Values(values ...any) []any {
	r := New()
	for _, v := range values {
		leaves(v, false, func(leaf any, secret bool) any {
			if text, ok := leaf.(string); ok && !secret {
				r.learn(text, true, 0)
			} else if secret {
				r.Add(fmt.Sprint(leaf))
			}
			return nil
		})
	}
	out := make([]any, len(values))
	for i, v := range values {
		out[i] = leaves(v, false, r.leaf)
	}
	return out
}

// leaf returns what may be shown of a text, a number or a truth.
func (r *Redactor) leaf(leaf any, secret bool) any {
	text, ok := leaf.(string)
	switch {
	case secret && text == "" && ok:
		return leaf
	case secret:
		return Stars
	case !ok:
		if clean, _ := r.Clean(fmt.Append(nil, leaf)); string(clean) != fmt.Sprint(leaf) {
			return Stars
		}
		return leaf
	}
	clean, _ := r.Clean([]byte(text))
	return string(clean)
}

// leaves returns v with what f makes of each text, number and truth in it; secret: it stands at the place of one.
func leaves(v any, secret bool, f func(leaf any, secret bool) any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, value := range v {
			_, nested := value.(map[string]any) // {file: x}: what is in it is said by its own keys
			out[k] = leaves(value, !nested && (secret || secretKey().MatchString(k) || variable().MatchString(k)), f)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, value := range v {
			after := false
			if i > 0 {
				before, ok := v[i-1].(string)
				after = ok && secretFlag().MatchString(before)
			}
			out[i] = leaves(value, secret || after, f)
		}
		return out
	case nil:
		return nil
	}
	return f(v, secret)
}
