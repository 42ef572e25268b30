// Package conf loads the YAML files of a program into its Go types.
//
//	file ─► YAML ─► {{.NAME}} ─► keys, types ─► decode ─► secrets, defaults ─► Complete ─► limits ─► Validate ─► value
//	                                 └─────────── Schema, read once from the Go type ───────────────┘
//
// It promises that a wrong file is refused before anything acts on it. An error names the file, the path of the key,
// what is allowed and what was found; the same file gives the same error every time: the first one in the order of the
// file for keys and types, then the first one in the order of the schema for limits. A key that is present keeps its
// value, also when that is zero; only an absent key gets its default (the tag `zero` is the exception). A variable is a
// value and never adds keys or entries. The package has no side effects and does not know what the keys mean. Key says
// which tags a field may have.
package conf

import (
	"bytes"
	"errors"
	"os"
	"reflect"
	"strings"

	"gopkg.in/yaml.v2"
)

// Completer is a configuration some of whose defaults depend on other keys or on the system; constant defaults are
// tags. Complete fills in what is empty. It is called after the defaults of the tags are set and before limits are
// checked, so it must cope with values outside of them. It is called for the value given to Load only, which calls it
// for its parts.
type Completer interface{ Complete() }

// Validator is a configuration with rules about several keys. Validate changes nothing. Its error text starts with the
// path of the key. It is called for the value given to Load only, which calls it for its parts.
type Validator interface{ Validate() error }

// Error is what is wrong with one file. Path is empty when the file as a whole is meant.
type Error struct {
	File string // as given to Load
	Path string // key path, for example rules[0].subscribe.qos; from an UnmarshalYAML the path below its own key
	Err  error
}

// Error names file, key path and cause.
func (e *Error) Error() string {
	if e.Path == "" {
		return e.File + ": " + e.Err.Error()
	}
	return e.File + ": " + e.Path + ": " + e.Err.Error()
}

// Unwrap returns the cause; a missing file is os.ErrNotExist.
func (e *Error) Unwrap() error { return e.Err }

// Option changes how a file is read.
type Option func(*loader)

// AllowKeys accepts top-level keys that the type does not have, because another part of the program reads them from the
// same file.
func AllowKeys(keys ...string) Option {
	return func(l *loader) { l.allowed = append(l.allowed, keys...) }
}

// AllowOthers accepts all top-level keys that the type does not have: other parts of the program read them from the
// same file, and check them.
func AllowOthers() Option {
	return func(l *loader) { l.others = true }
}

// WarnUnknown gives keys that the type does not have to what Warn has named, instead of an error: the file was written
// for a program of others, which may have read it less strictly.
func WarnUnknown() Option {
	return func(l *loader) { l.lenient = true }
}

// Env replaces os.LookupEnv as the source of {{.NAME}}.
func Env(lookup func(name string) (string, bool)) Option {
	return func(l *loader) { l.env.lookup = lookup }
}

// Only allows variables whose names begin with one of the prefixes, without prefixes none: a file that comes from
// outside must not read the environment of a program.
func Only(prefixes ...string) Option {
	return func(l *loader) { l.env.only, l.env.prefixes = true, prefixes }
}

// NonEmpty makes a file without content an error, ErrEmpty: whoever empties it on purpose has another way to say so.
func NonEmpty() Option {
	return func(l *loader) { l.nonEmpty = true }
}

// Warn gives what is not an error and should be said to report, which Load and Parse call before they return. The text
// names file and key and ends with a remedy.
func Warn(report func(text string)) Option {
	return func(l *loader) { l.warn = report }
}

type loader struct {
	file     string
	allowed  []string
	others   bool
	lenient  bool
	nonEmpty bool
	env      source
	warn     func(string)
}

func newLoader(file string, opts []Option) *loader {
	l := &loader{file: file, env: source{lookup: os.LookupEnv}, warn: func(string) {}}
	for _, o := range opts {
		o(l)
	}
	return l
}

// Parse decodes data, the content of the file called name, into out as Load does.
func Parse(name string, data []byte, out any, opts ...Option) error {
	l, v := newLoader(name, opts), target(out)
	root := schemaOf(v.Type())
	data, tree, err := l.tree(data, root)
	if err != nil {
		return l.fail("", err)
	}
	c := checker{root: root, allowed: l.allowed, others: l.others}
	if l.lenient {
		c.pass = func(path string, err error) { l.warn(l.fail(path, err).Error() + "; it has no effect") }
	}
	if path, err := c.check(tree, root, ""); err != nil {
		return l.fail(path, err)
	}
	if err := decode(data, out); err != nil { // what check can't see, such as a value that only its type understands
		return l.fail("", errors.New(strings.TrimPrefix(err.Error(), "yaml: ")))
	}
	if path, err := l.secrets(root, tree, v, ""); err != nil {
		return l.fail(path, err)
	}
	root.fill(tree, v, standardOf(v.Type()))
	if c, ok := out.(Completer); ok {
		c.Complete()
	}
	if path, err := root.limits(v, ""); err != nil {
		return l.fail(path, err)
	}
	if val, ok := out.(Validator); ok {
		if err := val.Validate(); err != nil {
			return l.fail("", err)
		}
	}
	return nil
}

// Tree returns what is in data, the content of the file called name, in the order of the file and with the values of
// its variables. Its errors are the first that Parse gives too.
func Tree(name string, data []byte, opts ...Option) (yaml.MapSlice, error) {
	l := newLoader(name, opts)
	_, tree, err := l.tree(data, nil)
	if err != nil {
		return nil, l.fail("", err)
	}
	return tree, nil
}

// tree returns data with the values of variables, as text and as what is in it. root may be nil.
func (l *loader) tree(data []byte, root *Key) ([]byte, yaml.MapSlice, error) {
	if l.nonEmpty && len(bytes.Trim(data, " \t\r\n\ufeff")) == 0 {
		return nil, nil, ErrEmpty
	}
	data, err := expand(data, l.env, root)
	if err != nil {
		return nil, nil, err
	}
	tree, err := parseTree(data)
	return data, tree, err
}

func (l *loader) fail(path string, err error) error {
	return &Error{File: l.file, Path: path, Err: err}
}

// SetDefaults sets out, a pointer to a struct of zeros, to what an empty file gives, without checking it. It always
// returns nil.
func SetDefaults(out any) error {
	v := target(out)
	schemaOf(v.Type()).fill(nil, v, standardOf(v.Type()))
	if c, ok := out.(Completer); ok {
		c.Complete()
	}
	return nil
}

// Default returns what the tags of T give to an empty section.
func Default[T any]() (out T) {
	v := reflect.ValueOf(&out).Elem()
	schemaOf(v.Type()).fill(nil, v, standardOf(v.Type()))
	return out
}

func target(out any) reflect.Value {
	v := reflect.ValueOf(out)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		panic("conf: out is not a pointer to a struct")
	}
	return v.Elem()
}
