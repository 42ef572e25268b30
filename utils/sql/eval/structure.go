package eval

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/baetyl/baetyl/utils/sql/parse"
	"github.com/baetyl/baetyl/utils/sql/value"
)

// jsonValue is what a path, a.b[0] or $.a.b[0], leads to in a text that is JSON, or in a value. What is not JSON has
// null there.
func jsonValue(_ *row, a []any) (any, error) {
	v := a[0]
	if text, ok := v.(string); ok {
		var err error
		if v, err = value.Decode([]byte(text)); err != nil {
			return nil, nil
		}
	}
	return lookup(v, a[1].([]parse.Step)), nil
}

// steps reads names between points, each with indexes behind it.
func steps(path string) (out []parse.Step, err error) {
	wrong := fmt.Errorf("%q is not a path", path)
	rest, root := strings.CutPrefix(path, "$")
	if root && rest == "" {
		return nil, nil
	}
	if root {
		rest = strings.TrimPrefix(rest, ".")
	}
	for i, part := range strings.Split(rest, ".") {
		name, indexes, indexed := strings.Cut(part, "[")
		if name != "" {
			out = append(out, parse.Step{Key: &name})
		} else if i > 0 || !indexed {
			return nil, wrong
		}
		if !indexed {
			continue
		}
		indexes, closed := strings.CutSuffix(indexes, "]")
		for _, n := range strings.Split(indexes, "][") {
			index, err := strconv.ParseUint(n, 10, 31)
			if err != nil || !closed {
				return nil, wrong
			}
			out = append(out, parse.Step{Index: int(index)})
		}
	}
	return out, nil
}

func jsonParse(_ *row, a []any) (any, error) {
	v, err := value.Decode([]byte(a[0].(string)))
	if err != nil {
		return nil, fmt.Errorf("the text is not JSON: %w", err)
	}
	return v, nil
}

// keyValue splits text by sep1 and each part by sep2, and returns the text after key: key_value('a=1;b=2', ';', '=',
// 'b') is '2'.
func keyValue(_ *row, a []any) (any, error) {
	for part := range strings.SplitSeq(a[0].(string), a[1].(string)) {
		if key, v, ok := strings.Cut(part, a[2].(string)); ok && key == a[3] {
			return v, nil
		}
	}
	return nil, nil
}

func toJSON(_ *row, a []any) (any, error) { return string(value.Append(nil, a[0])), nil }

func arrayLength(_ *row, a []any) (any, error) { return int64(len(a[0].([]any))), nil }

func arrayContains(_ *row, a []any) (any, error) {
	for _, v := range a[0].([]any) {
		if eq, _ := value.Equal(v, a[1]); eq {
			return true, nil
		}
	}
	return false, nil
}

// arrayGet counts from 0 as paths do, or from the end where n is negative.
func arrayGet(_ *row, a []any) (any, error) {
	l, n := a[0].([]any), a[1].(int)
	if n < 0 {
		n += len(l)
	}
	if n < 0 || n >= len(l) {
		return nil, nil
	}
	return l[n], nil
}

// arrayJoin leaves nulls out.
func arrayJoin(_ *row, a []any) (any, error) {
	var parts []string
	size := 0
	for _, v := range a[0].([]any) {
		if v != nil {
			parts = append(parts, value.Text(v))
			size += len(parts[len(parts)-1]) + len(a[1].(string))
		}
	}
	if size > maxText {
		return nil, errLong
	}
	return strings.Join(parts, a[1].(string)), nil
}
