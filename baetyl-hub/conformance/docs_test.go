package conformance_test

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-hub/config"
)

// Each test that docs/mqtt-conformance.md names exists, and each statement is there once.
func TestConformanceTable(t *testing.T) {
	text, err := os.ReadFile("../../docs/mqtt-conformance.md")
	require.NoError(t, err)
	var code strings.Builder
	files, err := filepath.Glob("../*/*_test.go")
	require.NoError(t, err)
	topics, err := filepath.Glob("../../utils/topic/*_test.go")
	require.NoError(t, err)
	for _, f := range append(files, topics...) {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		code.Write(b)
	}
	for _, name := range regexp.MustCompile(`(?:Test|Fuzz)[A-Z]\w+`).FindAllString(string(text), -1) {
		require.Contains(t, code.String(), "func "+name+"(", "docs/mqtt-conformance.md names a test that is not there")
	}
	seen := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\| (MQTT-[0-9.-]+) \|`).FindAllStringSubmatch(string(text), -1) {
		require.False(t, seen[m[1]], "%s is there twice", m[1])
		seen[m[1]] = true
	}
	require.Len(t, seen, statements)
}

// statements is the number of normative statements of MQTT 3.1.1.
const statements = 142

// Each key of the configuration is explained in docs/hub.md, with its default.
func TestHubDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/hub.md")
	require.NoError(t, err)
	var walk func(v reflect.Type, path string)
	walk = func(v reflect.Type, path string) {
		for v.Kind() == reflect.Slice {
			v, path = v.Elem(), path+"[]"
		}
		if v.Kind() != reflect.Struct {
			require.True(t, strings.Contains(string(text), "`"+path+"`"), "%s is missing", path)
			return
		}
		for i := range v.NumField() {
			f := v.Field(i)
			name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			key := strings.TrimPrefix(path+"."+name, ".")
			if options == "inline" {
				key = path
			}
			if key == "logger" {
				continue // docs/configuration.md
			}
			walk(f.Type, key)
			if d := f.Tag.Get("default"); d != "" && !strings.HasPrefix(d, "{") {
				line := regexp.MustCompile("(?m)^\\| .*`" + regexp.QuoteMeta(key) + "`[^|]*\\| [^|]*`" + regexp.QuoteMeta(d) + "`")
				require.True(t, line.Match(text), "%s has the default %s", key, d)
			}
		}
	}
	walk(reflect.TypeFor[config.Config](), "")
}
