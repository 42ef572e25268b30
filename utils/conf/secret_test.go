package conf_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v2"

	"github.com/baetyl/baetyl/utils/conf"
)

type account struct {
	Name     string      `yaml:"name"`
	Password conf.Secret `yaml:"password" json:"password"`
}

type accounts struct {
	account `yaml:",inline"`
	List    []account              `yaml:"list"`
	Names   map[string]account     `yaml:"names"`
	Plain   map[string]conf.Secret `yaml:"plain"`
	Pointer *account               `yaml:"pointer"`
}

// secrets parses text as the file etc/x.yml of a folder with files, and returns its warnings too.
func secrets(t *testing.T, text string, files map[string]string) (out accounts, warnings []string, err error) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "etc"), 0o700))
	for name, content := range files {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "etc", name), []byte(content), 0o600))
	}
	if files["open"] != "" {
		require.NoError(t, os.Chmod(filepath.Join(dir, "etc/open"), 0o644))
	}
	path := filepath.Join(dir, "etc/x.yml")
	require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o600))
	env := variables(map[string]string{"PW": " of env\n", "NONE": "", "CREDENTIALS_DIRECTORY": dir + "/etc"})
	err = conf.Load(path, &out, env, conf.Warn(func(w string) {
		warnings = append(warnings, strings.ReplaceAll(w, dir, "DIR"))
	}))
	if err != nil {
		err = fmt.Errorf("%s", strings.ReplaceAll(err.Error(), dir, "DIR"))
	}
	return out, warnings, err
}

func TestSecretsByReference(t *testing.T) {
	files := map[string]string{"pw": "hunter2\n", "windows": "\ufefftwo\r\n", "two": "a\n\n", "open": "x"}
	out, warnings, err := secrets(t, `password: {file: pw}
list:
- {password: plain}
- {password: {file: DIR/etc/windows}}
- {password: {file: two}}
- {password: {env: PW}}
- {password: {credential: pw}}
- {password: 12345}
- {password: ''}
names: {a: {name: n, password: {file: pw}}, b: {}}
plain: {a: {file: pw}, b: x, 5: {env: PW}}
pointer: {password: {file: open}}
`, files)
	require.NoError(t, err)
	require.EqualValues(t, "hunter2", out.Password)
	for i, want := range []string{"plain", "two", "a\n", " of env\n", "hunter2", "12345", ""} {
		require.EqualValues(t, want, out.List[i].Password, i)
	}
	require.EqualValues(t, "hunter2", out.Names["a"].Password)
	require.Equal(t, "n", out.Names["a"].Name)
	require.Equal(t, map[string]conf.Secret{"a": "hunter2", "b": "x", "5": " of env\n"}, out.Plain)
	require.EqualValues(t, "x", out.Pointer.Password)
	require.Equal(t, []string{
		"DIR/etc/x.yml: pointer.password.file: every user can read DIR/etc/open; chmod o-rwx DIR/etc/open",
	}, warnings)
}

// An error names file, key and remedy, and no value.
func TestWrongSecrets(t *testing.T) {
	files := map[string]string{
		"pw": "hunter2", "empty": "", "blank": "\n", "zeros": "\x00\x00", "huge": strings.Repeat("h", 64<<10+1),
		"windows": "\xff\xfeh\x00i\x00", "zero": "hunter2\x00", "mark": "\ufeff\r\n",
	}
	for text, want := range map[string]string{
		"password: {file: none}":                  "password.file: DIR/etc/none: open: no such file or directory; write the secret into it",
		"password: {file: windows}":               "password.file: DIR/etc/windows: is not text in UTF-8; save it as that",
		"password: {file: zero}":                  "password.file: DIR/etc/zero: is not text in UTF-8",
		"password: {file: mark}":                  "password.file: DIR/etc/mark: is empty; ",
		"password: {file: empty}":                 "password.file: DIR/etc/empty: is empty; write the secret into it",
		"password: {file: blank}":                 "password.file: DIR/etc/blank: is empty; ",
		"password: {file: zeros}":                 "password.file: DIR/etc/zeros: is empty; ",
		"password: {file: huge}":                  "password.file: DIR/etc/huge: file is larger than 65536 bytes; ",
		"password: {file: DIR/etc}":               "password.file: DIR/etc: is a folder; name a file",
		"password: {file: /dev/zero}":             "password.file: /dev/zero: is a device; name a regular file",
		"password: {file: ''}":                    `password.file: expected a text, found ""`,
		"password: {file: [a]}":                   "password.file: expected a text, found a list; put it in quotes",
		"password: {flie: pw}":                    "password.flie: unknown key; known here: file, env, credential",
		"password: {file: pw, env: PW}":           "password: expected one of the keys file, env and credential, found 2 keys; ",
		"password: {}":                            "password: expected one of the keys file, env and credential, found 0 keys",
		"password: [hunter2]":                     "password: expected a text, {file: <path>}, {env: <NAME>} or {credential: <name>}, found a list",
		"password: {env: UNSET}":                  "password.env: environment variable UNSET is not set; ",
		"password: {env: NONE}":                   "password.env: environment variable NONE is empty; set it",
		"password: {credential: ../pw}":           `password.credential: "../pw" is no name of a file in $CREDENTIALS_DIRECTORY`,
		"password: {credential: none}":            "password.credential: DIR/etc/none: open: no such file or directory; name it with Load",
		"list: [{}, {password: {file: none}}]":    "list[1].password.file: DIR/etc/none",
		"names: {a: {password: {file: none}}}":    "names.a.password.file: DIR/etc/none",
		"password: {file: pw}\nlist: [{pass: x}]": `list[0].pass: unknown key`,
	} {
		_, _, err := secrets(t, text, files)
		require.ErrorContains(t, err, "DIR/etc/x.yml: "+want, text)
		require.NotContains(t, strings.ReplaceAll(err.Error(), "[hunter2]", ""), "hunter2", text)
	}
	var out accounts
	err := conf.Parse("f", []byte("password: {credential: pw}"), &out, variables(nil))
	require.ErrorContains(t, err,
		`f: password.credential: there is no credential "pw": $CREDENTIALS_DIRECTORY is not set; `)
	err = conf.LoadOrDefault(filepath.Join(t.TempDir(), "none.yml"), &out)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "x.yml")
	require.NoError(t, os.WriteFile(path, []byte("password: {file: none}"), 0o600))
	require.ErrorContains(t, conf.LoadOrDefault(path, &out), "no such file", "a missing secret is not a missing file")
}

// Nothing that prints a configuration shows a secret.
func TestSecretsAreNotShown(t *testing.T) {
	out := accounts{
		account: account{Name: "n", Password: "hunter2"}, Plain: map[string]conf.Secret{"a": "hunter2"},
		List: []account{{Password: "hunter2"}}, Pointer: &account{Password: "hunter2"},
	}
	asJSON, err := json.Marshal(out)
	require.NoError(t, err)
	asYAML, err := yaml.Marshal(out)
	require.NoError(t, err)
	for _, text := range []string{string(asJSON), string(asYAML), fmt.Sprint(out), fmt.Sprintf("%+v", out),
		fmt.Sprintf("%#v", out), fmt.Sprintf("%q %s %x", out.Password, out.Password, out.Password)} {
		require.NotContains(t, text, "hunter2")
		require.NotContains(t, text, "68756e74657232")
	}
	require.Empty(t, conf.Secret("").String())
}

func FuzzSecret(f *testing.F) {
	for _, s := range []string{
		"{file: pw}", "{env: A}", "{credential: a/b}", "x", "[a]", "{file: {a: b}}", "{? [a] : b}", "*a", "~",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var out accounts
		err := conf.Parse("/nowhere/f", []byte("name: x\npassword: "+text), &out, variables(map[string]string{"A": "a"}))
		if err != nil && out.Password != "" {
			t.Fatalf("%q gives %v and a secret", text, err)
		}
	})
}
