// Package conf loads the YAML files of a program into its Go types.
//
//	file ─► expand {{.NAME}} ─► YAML ─► unknown keys? ─► decode ─► defaults ─► validate ─► value
//
// It promises that a wrong file is told apart from a right one before anything acts on it: an unknown key, a duplicate
// key, a value of the wrong type, a missing variable and a value out of its range are errors that name the file and the
// key path. A key that is present keeps its value, also when that is zero; only absent keys get the default.
// It has no side effects and knows nothing of what the keys mean.
//
// Field tags: `yaml` names the key, `json` the same name for messages, `default` (creasty/defaults) the value of an absent
// key, `validate` (gopkg.in/validator.v2) the range. A type with a method `Validate() error` has it called last.
package conf

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"sort"
	"strings"

	"github.com/creasty/defaults"
	"gopkg.in/validator.v2"
	"gopkg.in/yaml.v2"
)

// MaxSize is the largest file, in bytes, that Load reads; a larger one is refused unread.
const MaxSize = 4 << 20

// Validator is implemented by a configuration whose rules span several keys. Its error text starts with the key path.
// Only the value that is handed to Load is asked; it asks its parts.
type Validator interface{ Validate() error }

// Error is what is wrong with one file. Path is empty when the file as a whole is meant.
type Error struct {
	File string // as given to Load
	Path string // key path, for example rules[0].subscribe.qos
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

// AllowKeys lets top-level keys pass that the type does not have, because another part of the program reads them from the
// same file.
func AllowKeys(keys ...string) Option {
	return func(l *loader) { l.allowed = append(l.allowed, keys...) }
}

// AllowOthers lets all top-level keys pass that the type does not have: other parts of the program read them from the same file,
// and check them.
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
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, &Error{File: path, Err: cause(err)}
	}
	if len(data) > MaxSize {
		return nil, &Error{File: path, Err: fmt.Errorf("file is larger than %d bytes; a configuration of that size is most likely a wrong file", MaxSize)}
	}
	return data, nil
}

// cause drops the path that os repeats, since Error names it already.
func cause(err error) error {
	if pe := new(os.PathError); errors.As(err, &pe) {
		return fmt.Errorf("%s: %w", pe.Op, pe.Err)
	}
	return err
}

// Parse decodes data, the content of the file called name, into out as Load does.
func Parse(name string, data []byte, out any, opts ...Option) error {
	l := &loader{file: name, lookup: os.LookupEnv}
	for _, o := range opts {
		o(l)
	}
	v := reflect.ValueOf(out)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		panic("conf: out is not a pointer to a struct")
	}
	data, err := expand(data, l.lookup)
	if err != nil {
		return l.fail("", err)
	}
	tree, err := parseTree(data)
	if err != nil {
		return l.fail("", err)
	}
	s := schema{root: v.Elem().Type(), allowed: l.allowed, others: l.others}
	if path, err := s.check(tree, s.root, ""); err != nil {
		return l.fail(path, err)
	}
	if err := yaml.Unmarshal(data, out); err != nil {
		path, err := locate(tree, v.Elem().Type(), "", err)
		return l.fail(path, err)
	}
	if err := fill(tree, v.Elem()); err != nil {
		return l.fail("", err)
	}
	if err := l.validate(out); err != nil {
		return err
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

// SetDefaults fills the zero fields of out from their default tags, as if out had been read from an empty file.
func SetDefaults(out any) error { return defaults.Set(out) }

func parseTree(data []byte) (tree yaml.MapSlice, err error) {
	// yaml.v2 panics on a few malformed inputs that its parser lets through; a configuration file must not end the program.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("not YAML: %v", r)
		}
	}()
	if err := yaml.Unmarshal(data, &tree); err != nil {
		var te *yaml.TypeError
		if errors.As(err, &te) {
			return nil, errors.New("top level is not a mapping of keys to values")
		}
		return nil, fmt.Errorf("not YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	return tree, nil
}

// validate applies the validate tags and reports the first violation in the order of the key paths, so that the same file
// always gives the same message.
func (l *loader) validate(out any) error {
	err := ranges.Validate(out)
	if err == nil {
		return nil
	}
	var violations validator.ErrorMap
	if !errors.As(err, &violations) {
		return l.fail("", err)
	}
	paths := make([]string, 0, len(violations))
	for p := range violations {
		paths = append(paths, p)
	}
	sort.Strings(paths)
	return l.fail(paths[0], reason(violations[paths[0]][0]))
}

// ranges prints the json names, which are those of the file.
var ranges = validator.WithPrintJSON(true)

// reason says a violation in words that tell the remedy.
func reason(err error) error {
	switch {
	case errors.Is(err, validator.ErrZeroValue):
		return errors.New("must not be empty")
	case errors.Is(err, validator.ErrRegexp):
		return errors.New("has a form that is not allowed (see docs/configuration.md)")
	case errors.Is(err, validator.ErrMin):
		return errors.New("less than the allowed minimum")
	case errors.Is(err, validator.ErrMax):
		return errors.New("greater than the allowed maximum")
	}
	return err
}
