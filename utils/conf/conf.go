// Package conf loads the YAML files of a program into its Go types.
//
//	file ─► {{.NAME}} ─► YAML tree ─► keys, types ─► decode ─► defaults ─► Complete ─► limits ─► Validate ─► value
//	                                      └────────── Schema, read once from the Go type ──────────┘
//
// It promises that a wrong file is refused before anything acts on it. An error names the file, the path of the key,
// what is allowed and what was found; the same file gives the same error every time: the first one in the order of the
// file for keys and types, then the first one in the order of the schema for limits. A key that is present keeps its
// value, also when that is zero; only an absent key gets its default (the tag `zero` is the exception). The package has
// no side effects and does not know what the keys mean. Key says which tags a field may have.
package conf

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
)

// MaxSize is the largest file, in bytes, that Load reads; a larger one is refused unread.
const MaxSize = 4 << 20

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

// Env replaces os.LookupEnv as the source of {{.NAME}}.
func Env(lookup func(name string) (string, bool)) Option {
	return func(l *loader) { l.lookup = lookup }
}

type loader struct {
	file    string
	allowed []string
	others  bool
	lookup  func(string) (string, bool)
}

// Load reads the YAML file at path into out, a pointer to a struct. An error is an *Error.
func Load(path string, out any, opts ...Option) error {
	data, err := ReadFile(path)
	if err != nil {
		return err
	}
	return Parse(path, data, out, opts...)
}

// ReadFile returns the content of path, at most MaxSize bytes. An error is an *Error.
func ReadFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, &Error{File: path, Err: cause(err)}
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, &Error{File: path, Err: errors.New("is a folder; name a file")}
	}
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, &Error{File: path, Err: cause(err)}
	}
	if len(data) > MaxSize {
		err := fmt.Errorf("file is larger than %d bytes; a configuration of that size is most likely a wrong file", MaxSize)
		return nil, &Error{File: path, Err: err}
	}
	return data, nil
}

// cause drops the path that os repeats, since Error names it already.
func cause(err error) error {
	pe := new(os.PathError)
	switch {
	case !errors.As(err, &pe):
		return err
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("%s: %w; let the user that runs this program read it", pe.Op, pe.Err)
	}
	return fmt.Errorf("%s: %w", pe.Op, pe.Err)
}

// Parse decodes data, the content of the file called name, into out as Load does.
func Parse(name string, data []byte, out any, opts ...Option) error {
	l := &loader{file: name, lookup: os.LookupEnv}
	for _, o := range opts {
		o(l)
	}
	v := target(out)
	data, err := expand(data, l.lookup)
	if err != nil {
		return l.fail("", err)
	}
	tree, err := parseTree(data)
	if err != nil {
		return l.fail("", err)
	}
	root := schemaOf(v.Type())
	if path, err := (checker{root: root, allowed: l.allowed, others: l.others}).check(tree, root, ""); err != nil {
		return l.fail(path, err)
	}
	if err := decode(data, out); err != nil { // what check can't see, such as a value that only its type understands
		return l.fail("", errors.New(strings.TrimPrefix(err.Error(), "yaml: ")))
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
