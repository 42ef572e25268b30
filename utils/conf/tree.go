package conf

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v2"
)

var errNoMapping = errors.New(`top level is not a mapping of keys to values; write them as in "key: value"`)

// parseTree reads data as one YAML mapping, in the order of the file, with what merge keys (<<) bring in.
func parseTree(data []byte) (yaml.MapSlice, error) {
	var tree yaml.MapSlice
	if err := decode(data, &tree); err != nil {
		var te *yaml.TypeError
		if errors.As(err, &te) {
			return nil, errNoMapping
		}
		return nil, syntaxError(data, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	// A list of mappings, or of nothing, fits into a MapSlice too.
	if slices.ContainsFunc(tree, func(i yaml.MapItem) bool { return i.Key == nil }) || len(tree) == 0 && isList(data) {
		return nil, errNoMapping
	}
	if line, marker := secondDocument(data); line > 0 {
		return nil, fmt.Errorf("line %d: a second document begins; a configuration is one document: "+
			"remove the %s or split the file", line, marker)
	}
	if err := behind(data); err != nil {
		return nil, err
	}
	if bytes.Contains(data, []byte("<<")) {
		var merged map[any]any
		if err := decode(data, &merged); err == nil {
			tree = addMerged(tree, merged).(yaml.MapSlice)
		}
	}
	return tree, nil
}

// decode is yaml.Unmarshal without its panics on a few malformed inputs that its parser lets through: a configuration
// file must not end the program.
func decode(data []byte, out any) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	return yaml.Unmarshal(data, out)
}

func isList(data []byte) bool {
	var list []any
	return decode(data, &list) == nil && list != nil
}

// addMerged adds to tree what merged, the same file as yaml.v2 decodes it, has beside it: a MapSlice lacks the keys
// that << brings in.
func addMerged(tree, merged any) any {
	switch m := merged.(type) {
	case map[any]any:
		slice, _ := tree.(yaml.MapSlice)
		out := slices.Clone(slice)
		for i, item := range out {
			if comparable(item.Key) {
				out[i].Value = addMerged(item.Value, m[item.Key])
			}
		}
		var more yaml.MapSlice
		for key, v := range m {
			if !slices.ContainsFunc(out, func(i yaml.MapItem) bool { return comparable(i.Key) && i.Key == key }) {
				more = append(more, yaml.MapItem{Key: key, Value: addMerged(nil, v)})
			}
		}
		slices.SortFunc(more, func(a, b yaml.MapItem) int { return strings.Compare(fmt.Sprint(a.Key), fmt.Sprint(b.Key)) })
		return append(out, more...)
	case []any:
		list, _ := tree.([]any)
		out := make([]any, len(m))
		for i, v := range m {
			if i < len(list) {
				out[i] = addMerged(list[i], v)
			} else {
				out[i] = addMerged(nil, v)
			}
		}
		return out
	}
	return merged
}

func comparable(key any) bool {
	switch key.(type) {
	case yaml.MapSlice, []any:
		return false
	}
	return true
}

// secondDocument returns the number of the line at which a second YAML document with content begins, and the marker
// that makes it one; 0 if none does.
func secondDocument(data []byte) (line int, marker string) {
	content, ended, begin := false, false, 0
	for i, line := range bytes.Split(data, []byte("\n")) {
		text := bytes.TrimSpace(line)
		switch {
		case marks(line, "---"):
			if content && begin == 0 {
				begin = i + 1
			}
			if len(text) > 3 && bytes.TrimSpace(text[3:])[0] != '#' {
				if content {
					return begin, "---"
				}
				content = true
			}
		case marks(line, "..."):
			ended = content
			continue
		case len(text) == 0 || text[0] == '#' || text[0] == '%':
			continue
		case ended && begin == 0: // a document needs no --- behind a ...
			return i + 1, "..."
		default:
			content = true
		}
		if begin > 0 && content && i+1 > begin {
			return begin, "---"
		}
	}
	return 0, ""
}

// marks tells whether line is a marker of documents, --- or ..., alone or with something behind it.
func marks(line []byte, marker string) bool {
	rest, ok := bytes.CutPrefix(line, []byte(marker))
	return ok && (len(rest) == 0 || bytes.IndexByte([]byte(" \t\r"), rest[0]) >= 0)
}

// behind says what stands behind the first document of data and is none: yaml.Unmarshal leaves it unread. So a first
// line with a blank before it, or {} above the rest, would lose all that follows.
func behind(data []byte) (err error) {
	defer func() { // as in decode
		if r := recover(); r != nil {
			err = syntaxError(data, fmt.Sprint(r))
		}
	}()
	d := yaml.NewDecoder(bytes.NewReader(data))
	for err == nil {
		err = d.Decode(new(unread))
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return syntaxError(data, strings.TrimPrefix(err.Error(), "yaml: "))
}

// unread takes any YAML, and keeps nothing of it.
type unread struct{}

// UnmarshalYAML reads nothing.
func (*unread) UnmarshalYAML(func(any) error) error { return nil }

// remedies are what to do about errors of yaml.v2, by a part of their text.
var remedies = []struct{ part, remedy string }{
	{"cannot start any token", "put a text that begins with @, ` or % in quotes"},
	{"mapping values are not allowed", `check the indentation, and put a text with ": " in quotes`},
	{"did not find expected key", "check that this line is indented as those beside it, " +
		"and that quotes and brackets above it are closed"},
	{"expected '-' indicator", "check that this line is indented as those beside it"},
	{"did not find expected ','", "close the bracket that is open above"},
	{"expected <document start>", "this line does not belong to what stands above it: indent both alike, " +
		"and leave out a {} above it"},
	{"unexpected end of stream", "close the quote that is open above"},
	{"map merge requires", "write after << an alias of a mapping"},
	{"excessive aliasing", "write the values in the place of the aliases"},
}

// placeless are the beginnings of errors that yaml.v2 gives no line though they may be anywhere; others without are in
// the first.
var placeless = []string{"anchor '", "map merge", "cannot decode", "document contains"}

var lineOf = regexp.MustCompile(`^line (\d+): (.*)$`)

// syntaxError names the line, which yaml.v2 leaves out for the first one and gives one too small for errors of its
// parser, the key that stands there, and what to do. Values are not shown: one may be a password.
func syntaxError(data []byte, text string) error {
	if err := badCharacter(data); err != nil {
		return err
	}
	lines := strings.Split(string(data), "\n")
	remedy := ""
	for _, r := range remedies {
		if strings.Contains(text, r.part) {
			remedy = "; " + r.remedy
		}
	}
	for _, begin := range placeless {
		if strings.HasPrefix(text, begin) {
			return fmt.Errorf("not YAML: %s%s", text, remedy)
		}
	}
	if rest, ok := strings.CutPrefix(text, "unknown anchor '"); ok {
		name, _, _ := strings.Cut(rest, "'")
		line := 1 + slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, "*"+name) })
		return fmt.Errorf("not YAML: line %d: there is no anchor &%s for *%s; put a text that begins with * in quotes",
			line, name, name)
	}
	line := 1
	if m := lineOf.FindStringSubmatch(text); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = m[2]
		if strings.HasPrefix(text, "did not find expected") {
			line++
		}
	}
	if line <= len(lines) && strings.HasPrefix(strings.TrimLeft(lines[line-1], " "), "\t") {
		text, remedy = "a tab stands at the beginning", "; indent with spaces"
	}
	return fmt.Errorf("not YAML: line %d%s: %s%s", line, near(lines, line), text, remedy)
}

// near says where a line is: its key, or that the file ends.
func near(lines []string, line int) string {
	if line > len(lines) || line == len(lines) && strings.TrimSpace(lines[line-1]) == "" {
		return " (end of the file)"
	}
	key, _, ok := strings.Cut(strings.TrimLeft(lines[line-1], " \t-{[?"), ":")
	if key = strings.TrimSpace(key); !ok || key == "" || len(key) > 40 || strings.ContainsAny(key, `"'{[`) {
		return ""
	}
	return fmt.Sprintf(" (at %q)", key)
}

// lost says that a file consists of zeros from byte i on, in that line. One that is nothing else is ErrEmpty.
func lost(line, i int) error {
	const text = "from line %d on there are only zero bytes, as after a power cut; put the file back from a copy"
	if i == 0 {
		return fmt.Errorf(text+"%w", line, hidden{ErrEmpty})
	}
	return fmt.Errorf(text, line)
}

// badCharacter finds the first byte that is not UTF-8 or that YAML does not allow. A file in UTF-16 with its mark is
// left to yaml.v2.
func badCharacter(data []byte) error {
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return nil
	}
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		line := 1 + bytes.Count(data[:i], []byte("\n"))
		switch {
		case r == 0 && len(bytes.Trim(data[i:], "\x00")) == 0:
			return lost(line, i)
		case r == utf8.RuneError && n == 1:
			return fmt.Errorf("line %d: byte 0x%02x is not UTF-8; save the file as UTF-8", line, data[i])
		case r < ' ' && !strings.ContainsRune("\t\n\r", r), r == 0x7f:
			return fmt.Errorf("line %d: control character 0x%02x is not allowed; save the file as text in UTF-8", line, r)
		}
		i += n
	}
	return nil
}
