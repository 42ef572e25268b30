package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// OrderKey returns the key of a message. Messages of a rule with the same key keep their order.
type OrderKey func(topic string, payload []byte) string

// ParseOrder reads order.key: empty for no order (a nil OrderKey), topic, or a path into the JSON payload, such as
// device.id or items[0].name. Messages without the path, or whose payload is no JSON, share one key.
func ParseOrder(key string) (OrderKey, error) {
	switch key {
	case "":
		return nil, nil
	case "topic":
		return func(topic string, _ []byte) string { return topic }, nil
	}
	path, err := parsePath(key)
	if err != nil {
		return nil, err
	}
	return func(_ string, payload []byte) string { return lookup(path, payload) }, nil
}

// parsePath splits a path into names (string) and indexes (int).
func parsePath(text string) (path []any, err error) {
	for _, part := range strings.Split(text, ".") {
		name, rest, indexed := strings.Cut(part, "[")
		if name == "" && !(indexed && len(path) == 0) {
			return nil, fmt.Errorf("path %q has an empty name", text)
		}
		if name != "" {
			path = append(path, name)
		}
		for indexed {
			var digits string
			var closed bool
			digits, rest, closed = strings.Cut(rest, "]")
			i, err := strconv.Atoi(digits)
			if !closed || err != nil || i < 0 {
				return nil, fmt.Errorf("path %q: expected [number]", text)
			}
			path = append(path, i)
			if rest == "" {
				break
			}
			if !strings.HasPrefix(rest, "[") {
				return nil, fmt.Errorf("path %q: unexpected %q after ]", text, rest)
			}
			rest = rest[1:]
		}
	}
	if len(path) == 0 {
		return nil, errors.New("path is empty")
	}
	return path, nil
}

// lookup returns the JSON text of the value at path.
func lookup(path []any, payload []byte) string {
	raw := json.RawMessage(payload)
	for _, step := range path {
		switch step := step.(type) {
		case string:
			var object map[string]json.RawMessage
			if json.Unmarshal(raw, &object) != nil {
				return ""
			}
			raw = object[step]
		case int:
			var list []json.RawMessage
			if json.Unmarshal(raw, &list) != nil || step >= len(list) {
				return ""
			}
			raw = list[step]
		}
		if raw == nil {
			return ""
		}
	}
	var compact bytes.Buffer
	if json.Compact(&compact, raw) != nil {
		return ""
	}
	return compact.String()
}
