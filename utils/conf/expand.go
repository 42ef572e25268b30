package conf

import (
	"bytes"
	"fmt"
	"regexp"
)

// variable is the whole template language: {{.NAME}}. Documents use nothing else, and a full template language would
// let a configuration file run code.
var variable = regexp.MustCompile(`\{\{\s*\.([A-Za-z_][A-Za-z0-9_]*)\s*\}\}`)

// expand replaces each {{.NAME}} outside of comment lines. An unset variable is an error, since an empty text in its
// place would change the value without notice.
func expand(data []byte, lookup func(string) (string, bool)) ([]byte, error) {
	if !bytes.Contains(data, []byte("{{")) {
		return data, nil
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	for i, line := range lines {
		if bytes.HasPrefix(bytes.TrimSpace(line), []byte("#")) {
			continue
		}
		var missing string
		lines[i] = variable.ReplaceAllFunc(line, func(m []byte) []byte {
			name := string(variable.FindSubmatch(m)[1])
			value, ok := lookup(name)
			if !ok {
				missing = name
			}
			return []byte(value)
		})
		if missing != "" {
			return nil, fmt.Errorf("line %d: environment variable %s is not set; set it or write the value in its place",
				i+1, missing)
		}
	}
	return bytes.Join(lines, nil), nil
}
