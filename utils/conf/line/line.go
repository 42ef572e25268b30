// Package line finds lines of YAML files by the paths of keys in it, for messages. It is a package of its own, since
// modules that read a configuration need no second parser.
package line

import (
	"errors"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxLined is the largest file whose lines are looked for, in bytes: the tree of a larger one takes more memory than a
// line number is worth on a small device.
const maxLined = 1 << 20

// Lines are those of one file. The zero value knows none.
type Lines struct{ root *yaml.Node }

// Read reads data, which need not be valid. Where it cannot be read, no line is known.
func Read(data []byte) Lines {
	if len(data) > maxLined {
		return Lines{}
	}
	var doc yaml.Node
	if parseNode(data, &doc) != nil || len(doc.Content) == 0 {
		return Lines{}
	}
	return Lines{doc.Content[0]}
}

// parseNode is yaml.Unmarshal without panics: a file from outside must not end the program.
func parseNode(data []byte, out *yaml.Node) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("not to be read")
		}
	}()
	return yaml.Unmarshal(data, out)
}

// Of returns the line of the value at path, counted from 1: services[2].env.X. Where the file has less of the path, it
// is that of the last part which it has; 0: it has none, or is not known.
func (l Lines) Of(path string) int {
	node, line := l.root, 0
	for node != nil && path != "" {
		for node.Kind == yaml.AliasNode {
			node = node.Alias
		}
		var key, value *yaml.Node
		key, value, path = step(node, path)
		if key == nil {
			break
		}
		node, line = value, key.Line
	}
	return line
}

// step takes the first part of path. A name may hold dots, so the longest one that node has is taken.
func step(node *yaml.Node, path string) (key, value *yaml.Node, rest string) {
	if index, after, ok := strings.Cut(strings.TrimPrefix(path, "["), "]"); ok && path[0] == '[' {
		i, err := strconv.Atoi(index)
		if err != nil || node.Kind != yaml.SequenceNode || i < 0 || i >= len(node.Content) {
			return nil, nil, ""
		}
		return node.Content[i], node.Content[i], strings.TrimPrefix(after, ".")
	}
	if node.Kind != yaml.MappingNode {
		return nil, nil, ""
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name := node.Content[i].Value
		after, ok := strings.CutPrefix(path, name)
		if !ok || after != "" && after[0] != '.' && after[0] != '[' || key != nil && len(name) < len(key.Value) {
			continue
		}
		key, value, rest = node.Content[i], node.Content[i+1], strings.TrimPrefix(after, ".")
	}
	return key, value, rest
}
