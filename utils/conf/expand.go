package conf

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// variable is the whole template language: {{.NAME}}, {{{{.NAME}}}} for that text itself. Documents use nothing else,
// and a full template language would let a configuration file run code. Merge keys are found with it, see cover.
var variable = regexp.MustCompile(`\{\{\{\{\s*\.\w+\s*\}\}\}\}|\{\{\s*\.([A-Za-z_]\w*)\s*\}\}|<<`)

// source is where the values of variables come from.
type source struct {
	lookup   func(string) (string, bool)
	only     bool     // those with one of the prefixes
	prefixes []string //
}

// value returns the value of a variable. An unset one is an error, since an empty text in its place would change the
// configuration without notice.
func (s source) value(name string) (string, error) {
	allowed := !s.only
	for _, p := range s.prefixes {
		allowed = allowed || strings.HasPrefix(name, p)
	}
	if !allowed {
		which := "this file comes from outside and can use none"
		if len(s.prefixes) > 0 {
			which = "only those whose names begin with " + strings.Join(s.prefixes, " or ") + " can be used"
		}
		return "", fmt.Errorf("environment variable %s is forbidden here: %s; write the value in its place", name, which)
	}
	value, ok := s.lookup(name)
	switch {
	case !ok:
		return "", fmt.Errorf("environment variable %s is not set; set it or write the value in its place", name)
	case !utf8.ValidString(value):
		return "", fmt.Errorf("environment variable %s is not UTF-8; set it to text in UTF-8", name)
	}
	return value, nil
}

// covered is one place of a file that is put out of the parser's sight.
type covered struct {
	text string // as it stands
	name string // of the variable; empty: none
	line int
}

// cover is what stands in the place of variables while YAML is parsed: whole numbers of 16 digits that occur nowhere
// else in the file. They are valid wherever a text is, and tell by their type whether they stood in quotes. They begin
// with 1, which no other digit of the mark is, so that nothing before one can be taken for a part of it.
type cover struct {
	mark  string
	parts []covered
}

const (
	markDigits  = 9
	indexDigits = 7 // more than half of MaxSize
)

// coverUp replaces each variable outside of comment lines, and each <<, whose meaning is left to the parser that reads
// the result. It returns nil for a file without variables.
func coverUp(data []byte) ([]byte, *cover) {
	c := &cover{}
	for c.mark == "" || bytes.Contains(data, []byte(c.mark)) {
		digits := []byte("1")
		for len(digits) < markDigits {
			digits = append(digits, "23456789"[rand.IntN(8)])
		}
		c.mark = string(digits)
	}
	lines, found := bytes.SplitAfter(data, []byte("\n")), false
	for i, line := range lines {
		if bytes.HasPrefix(bytes.TrimSpace(line), []byte("#")) {
			continue
		}
		lines[i] = variable.ReplaceAllFunc(line, func(m []byte) []byte {
			part := covered{text: string(m), line: i + 1}
			if sub := variable.FindSubmatch(m); len(sub[1]) > 0 {
				part.name = string(sub[1])
			}
			found = found || m[0] == '{'
			c.parts = append(c.parts, part)
			return fmt.Appendf(nil, "%s%0*d", c.mark, indexDigits, len(c.parts)-1)
		})
	}
	if !found {
		return data, nil
	}
	return bytes.Join(lines, nil), c
}

// replace puts in text what value returns for each place of the file.
func (c *cover) replace(text string, value func(covered) (string, error)) (string, error) {
	var b strings.Builder
	for {
		before, after, ok := strings.Cut(text, c.mark)
		b.WriteString(before)
		if !ok {
			return b.String(), nil
		}
		i, err := strconv.Atoi(after[:min(len(after), indexDigits)])
		if err != nil || i >= len(c.parts) || len(after) < indexDigits {
			return "", errors.New("a variable stands where YAML changes it; write the value in its place")
		}
		v, err := value(c.parts[i])
		if err != nil {
			return "", err
		}
		b.WriteString(v)
		text = after[indexDigits:]
	}
}

// uncover shows the text of the file in an error.
func (c *cover) uncover(err error) error {
	text, failed := c.replace(err.Error(), func(p covered) (string, error) { return p.text, nil })
	if failed != nil {
		return err
	}
	return errors.New(text)
}

// fill returns text with the values of its variables, and whether it has any.
func (s source) fill(c *cover, text string) (string, bool, error) {
	if !strings.Contains(text, c.mark) {
		return text, false, nil
	}
	out, err := c.replace(text, func(p covered) (string, error) {
		switch {
		case p.name != "":
			v, err := s.value(p.name)
			if err != nil {
				err = fmt.Errorf("line %d: %w; for the text %s itself write {{%s}}", p.line, err, p.text, p.text)
			}
			return v, err
		case p.text[0] == '{':
			return p.text[2 : len(p.text)-2], nil
		}
		return p.text, nil
	})
	return out, true, err
}

// expand returns data with the values of its variables: values only, whatever is in them, since they are put into
// scalars after YAML was parsed. A file without variables is returned as it is. root may be nil.
func expand(data []byte, s source, root *Key) ([]byte, error) {
	if !bytes.Contains(data, []byte("{{")) {
		return data, nil
	}
	text, c := coverUp(data)
	if c == nil {
		return data, nil
	}
	if _, err := parseTree(text); err != nil {
		return nil, c.uncover(err)
	}
	var top node
	if err := decode(text, &top); err != nil {
		return nil, c.uncover(errors.New(strings.TrimPrefix(err.Error(), "yaml: ")))
	}
	w := &writer{cover: c, source: s}
	if err := w.node(top, root); err != nil {
		return nil, err
	}
	return w.out, nil
}
