package eval

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// function is one line of the registry; it gets min to max arguments and returns null for what it can't handle.
type function struct {
	min, max int
	call     func(m Message, a []any) any
}

var functions = map[string]function{
	"qos":       {0, 0, func(m Message, _ []any) any { return json.Number(fmt.Sprint(m.QOS)) }},
	"topic":     {0, 0, func(m Message, _ []any) any { return m.Topic }},
	"timestamp": {0, 0, func(Message, []any) any { return json.Number(fmt.Sprint(time.Now().UnixMilli())) }},
	"upper":     {1, 1, onText(strings.ToUpper)},
	"lower":     {1, 1, onText(strings.ToLower)},
	"trim":      {1, 1, onText(strings.TrimSpace)},
	"coalesce": {1, 100, func(_ Message, a []any) any {
		for _, v := range a {
			if v != nil {
				return v
			}
		}
		return nil
	}},
}

func onText(f func(string) string) func(Message, []any) any {
	return func(_ Message, a []any) any {
		if a[0] == nil {
			return nil
		}
		return f(str(a[0]))
	}
}

func str(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return string(v)
	}
	b, _ := json.Marshal(v) // v came from JSON
	return string(b)
}
