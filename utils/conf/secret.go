package conf

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v2"
)

// Secret is a text that is not shown: what prints or writes it gets three stars; string(s) is the text itself. In a
// file it is the text, or a mapping of one key that says where it stands:
//
//	password: {file: password.txt}        file, at most MaxSecret bytes; a relative path starts at the folder of the file
//	                                      that names it; one line end at the end does not count, nor a byte order mark
//	password: {env: HUB_PASSWORD}         environment variable
//	password: {credential: hub-password}  file of that name in $CREDENTIALS_DIRECTORY, as systemd gives credentials
//
// Load reads it once. What is not there, or empty, is an error that names file, key and remedy, and never the value. A
// file that everybody can read is a warning, see Warn.
type Secret string

// MaxSecret is the largest file of a secret, in bytes.
const MaxSecret = 64 << 10

// credentials is the variable with the folder that systemd makes for LoadCredential= and SetCredentialEncrypted=.
const credentials = "CREDENTIALS_DIRECTORY"

const stars = "***"

// String returns three stars, or nothing for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return stars
}

// GoString is String in quotes.
func (s Secret) GoString() string { return fmt.Sprintf("%q", s.String()) }

// MarshalText is String, for JSON and others that write values.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML is String.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// UnmarshalYAML reads a text. A mapping leaves s empty until Load has read what it names.
func (s *Secret) UnmarshalYAML(unmarshal func(any) error) error {
	var m yaml.MapSlice
	if unmarshal(&m) == nil {
		*s = ""
		return nil
	}
	return unmarshal((*string)(s))
}

// checkReference tells whether m says where a secret stands.
func checkReference(m yaml.MapSlice) error {
	if len(m) != 1 {
		return fmt.Errorf("expected one of the keys file, env and credential, found %d keys; keep one of them", len(m))
	}
	name := fmt.Sprint(m[0].Key)
	switch name {
	case "file", "env", "credential":
	default:
		return &Error{Path: name, Err: errors.New("unknown key; known here: file, env, credential")}
	}
	value, ok := m[0].Value.(string)
	switch {
	case !ok || value == "":
		return &Error{Path: name, Err: fmt.Errorf("expected a text, found %s; put it in quotes", describe(m[0].Value))}
	case name == "credential" && (value != filepath.Base(value) || value == "." || value == ".."):
		return &Error{Path: name, Err: fmt.Errorf("%q is no name of a file in $%s; for another file write {file: <path>}",
			value, credentials)}
	}
	return nil
}

// secrets reads what the mappings of secrets below v name. node is what the file has in the place of k.
func (l *loader) secrets(k *Key, node any, v reflect.Value, path string) (string, error) {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return "", nil
		}
		v = v.Elem()
	}
	switch m, _ := node.(yaml.MapSlice); {
	case k.Kind == Hidden && m != nil:
		at := join(path, fmt.Sprint(m[0].Key))
		text, err := l.secret(fmt.Sprint(m[0].Key), fmt.Sprint(m[0].Value), at)
		v.SetString(text)
		return at, err
	case k.Kind == Mapping:
		for _, c := range k.Keys {
			at := join(path, c.Name)
			if p, err := l.secrets(c, value(m, c.Name), v.FieldByIndex(c.index), at); err != nil {
				return p, err
			}
		}
	case k.Kind == List:
		list, _ := node.([]any)
		for i := 0; i < v.Len() && i < len(list); i++ {
			if p, err := l.secrets(k.Elem, list[i], v.Index(i), fmt.Sprintf("%s[%d]", path, i)); err != nil {
				return p, err
			}
		}
	case k.Kind == Names:
		for _, item := range m {
			name := reflect.ValueOf(fmt.Sprint(item.Key))
			if k.Elem.Kind != Mapping && k.Elem.Kind != Hidden || !name.CanConvert(v.Type().Key()) {
				continue
			}
			name = name.Convert(v.Type().Key())
			e := reflect.New(v.Type().Elem()).Elem() // an element of a map can't be changed in its place
			if old := v.MapIndex(name); old.IsValid() {
				e.Set(old)
				if p, err := l.secrets(k.Elem, item.Value, e, join(path, name.String())); err != nil {
					return p, err
				}
				v.SetMapIndex(name, e)
			}
		}
	}
	return "", nil
}

// secret returns the text that a reference names. at is its key, for warnings.
func (l *loader) secret(kind, name, at string) (string, error) {
	switch kind {
	case "env":
		text, err := l.env.value(name)
		if err == nil && text == "" {
			err = fmt.Errorf("environment variable %s is empty; set it", name)
		}
		return text, err
	case "credential":
		dir, ok := l.env.lookup(credentials)
		if !ok || dir == "" {
			return "", fmt.Errorf("there is no credential %q: $%s is not set; name it with LoadCredential= in the unit "+
				"of systemd, or write {file: <path>}", name, credentials)
		}
		name = filepath.Join(dir, name)
	default:
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(l.file), name)
		}
	}
	text, mode, err := ReadSecret(name)
	if errors.Is(err, fs.ErrNotExist) {
		remedy := "write the secret into it, or correct the path"
		if kind == "credential" {
			remedy = "name it with LoadCredential= in the unit of systemd"
		}
		err = fmt.Errorf("%w; %s", err, remedy)
	}
	if err != nil {
		return "", errors.New(name + ": " + err.Error()) // not wrapped: a missing secret is no missing configuration
	}
	if mode&0o004 != 0 && runtime.GOOS != "windows" {
		l.warn(fmt.Sprintf("%s: %s: every user can read %s; chmod o-rwx %s", l.file, at, name, name))
	}
	return text, nil
}

// ReadSecret returns what the file of a secret says, as Load takes it, and the mode of the file. The error does not
// name the path.
func ReadSecret(path string) (string, fs.FileMode, error) {
	f, err := open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	data, err := readAll(f, MaxSecret, "name the file with the secret alone")
	if err != nil {
		return "", 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return "", 0, cause(path, err)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	text, cut := strings.CutSuffix(string(data), "\r\n")
	if !cut {
		text = strings.TrimSuffix(text, "\n")
	}
	switch {
	case len(bytes.Trim(data, "\x00\r\n")) == 0:
		return "", 0, errors.New("is empty; write the secret into it")
	case !utf8.ValidString(text) || strings.ContainsRune(text, 0): // as no text in a configuration is
		return "", 0, errors.New("is not text in UTF-8; save it as that")
	}
	return text, info.Mode(), nil
}
