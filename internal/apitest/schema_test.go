package apitest_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/internal/apitest"
	"github.com/baetyl/baetyl/protocol/masterapi"
)

// The document has the keys of the types that server and clients use, no more and no less, and the same ones are
// required.
func TestSchemasAreTheTypes(t *testing.T) {
	spec := apitest.Load(t)
	for name, v := range map[string]any{
		"Inspect": masterapi.Inspect{}, "UpdateRequest": masterapi.UpdateRequest{},
		"PortAvailable": masterapi.PortAvailable{}, "Error": masterapi.Error{},
		"Reloaded": masterapi.Reloaded{}, "Modules": masterapi.Modules{},
	} {
		compare(t, name, reflect.TypeOf(v), spec.Doc.Components.Schemas[name].Value)
	}
}

func compare(t *testing.T, where string, typ reflect.Type, s *openapi3.Schema) {
	t.Helper()
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if typ.Kind() == reflect.Slice {
		require.NotNil(t, s.Items, where)
		compare(t, where+"[]", typ.Elem(), s.Items.Value)
		return
	}
	if typ.Kind() != reflect.Struct || typ == reflect.TypeFor[time.Time]() {
		return
	}
	want := fields(typ)
	var keys, required, documented []string
	for key, f := range want {
		keys = append(keys, key)
		if !strings.Contains(f.Tag.Get("json"), ",omitempty") {
			required = append(required, key)
		}
	}
	for key := range s.Properties {
		documented = append(documented, key)
	}
	require.ElementsMatch(t, keys, documented, "keys of %s", where)
	require.ElementsMatch(t, required, s.Required, "required keys of %s", where)
	for key, f := range want {
		compare(t, where+"."+key, f.Type, s.Properties[key].Value)
	}
}

// fields returns the fields of a struct that JSON shows, by key.
func fields(typ reflect.Type) map[string]reflect.StructField {
	out := map[string]reflect.StructField{}
	for i := range typ.NumField() {
		f := typ.Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous:
			for k, inner := range fields(f.Type) {
				out[k] = inner
			}
		case key != "-":
			out[key] = f
		}
	}
	return out
}

// What a report may not use is documented, and is what the server refuses.
func TestReservedKeysAreDocumented(t *testing.T) {
	spec := apitest.Load(t)
	report := spec.Doc.Components.Schemas["Report"].Value
	require.NotNil(t, report.PropertyNames)
	var refused []string
	for _, key := range report.PropertyNames.Value.Not.Value.Enum {
		refused = append(refused, key.(string))
	}
	var own []string
	for key := range spec.Doc.Components.Schemas["Instance"].Value.Properties {
		own = append(own, key)
		require.True(t, masterapi.Reserved(key), key)
	}
	slices.Sort(refused)
	slices.Sort(own)
	require.Equal(t, own, refused)
}
