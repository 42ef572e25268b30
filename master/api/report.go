package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxReportDepth is how many objects and lists a report may nest, itself included. Inspect shows a report five levels
// down, and readers in common use stop at 64.
const maxReportDepth = 50

// parseReport splits a report into its first layer of keys. body is one JSON value, which Go's decoder has checked.
// What passes here is part of every answer of inspect, so parseReport refuses what a common JSON reader could not read:
// text that is not UTF-8, halves of surrogate pairs, deep nesting, numbers that no 64-bit float holds, and keys that
// appear twice (RFC 7493). The values that it returns are as inspect shows them: without white space, and with markup
// characters escaped.
func parseReport(body []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("the body is not UTF-8; encode it as UTF-8")
	}
	if err := checkEscapes(body); err != nil {
		return nil, err
	}
	if err := checkValues(body); err != nil {
		return nil, err
	}
	var report map[string]json.RawMessage
	if err := json.Unmarshal(body, &report); err != nil {
		return nil, err
	}
	if report == nil {
		return nil, errors.New("expected a JSON object, found null")
	}
	for k, v := range report {
		shown, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", quote(k), err)
		}
		report[k] = shown
	}
	return report, nil
}

// checkValues reads body token by token.
func checkValues(body []byte) error {
	type level struct {
		keys map[string]bool // nil in a list
		next bool            // the next token of an object is a key
	}
	var levels []level
	in := json.NewDecoder(bytes.NewReader(body))
	in.UseNumber()
	for {
		token, err := in.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if n := len(levels); n > 0 && levels[n-1].next {
			if key, ok := token.(string); ok {
				if levels[n-1].keys[key] {
					return fmt.Errorf("key %s appears twice in one object; use each key once", quote(key))
				}
				levels[n-1].keys[key], levels[n-1].next = true, false
				continue
			}
		}
		switch v := token.(type) {
		case json.Number:
			if _, err := strconv.ParseFloat(v.String(), 64); err != nil {
				return fmt.Errorf("number %s does not fit a 64-bit float (up to about ±1.8e308); send it as a string",
					quote(v.String()))
			}
		case json.Delim:
			switch v {
			case '{', '[':
				if len(levels) == maxReportDepth {
					return fmt.Errorf("nests more than %d levels of objects and lists; send flatter data",
						maxReportDepth)
				}
				var l level
				if v == '{' {
					l = level{keys: map[string]bool{}, next: true}
				}
				levels = append(levels, l)
				continue
			default:
				levels = levels[:len(levels)-1]
			}
		}
		if n := len(levels); n > 0 && levels[n-1].keys != nil { // a value has ended
			levels[n-1].next = true
		}
	}
}

// checkEscapes finds a \u escape that stands for half a character. body is JSON, so that a backslash is always in a
// string and always begins an escape.
func checkEscapes(body []byte) error {
	for n := 0; n < len(body); n++ {
		if body[n] != '\\' {
			continue
		}
		n++ // what is escaped
		first, ok := escaped(body[n-1:])
		if !ok || !utf16.IsSurrogate(first) {
			continue
		}
		second, _ := escaped(body[min(n+5, len(body)):])
		if utf16.DecodeRune(first, second) == utf8.RuneError {
			return fmt.Errorf("escape \\u%04x is half of a surrogate pair; send whole characters", first)
		}
		n += 6 // the second half
	}
	return nil
}

// escaped reads a \u escape at the beginning of text.
func escaped(text []byte) (rune, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	code, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	return rune(code), err == nil
}

// quote returns the beginning of a text that a caller has sent, short enough for a message.
func quote(text string) string {
	const most = 60
	if len(text) > most {
		text = text[:most] + "…"
	}
	return strconv.Quote(text)
}
