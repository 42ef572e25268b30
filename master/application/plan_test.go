package application_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/master/application"
	"github.com/baetyl/baetyl/protocol/app"
)

const planBase = `
version: v1
services:
  - name: a
    image: i
    replica: 1
    mounts: [{name: v, path: p}]
  - name: b
    image: i
    networks: [net]
  - name: c
    image: i
    args: []
volumes: [{name: v, path: x/1}, {name: unused, path: y}]
networks: {net: {}}
`

// What changes in the file, and which services Diff stops, keeps and starts.
func TestDiff(t *testing.T) {
	for name, c := range map[string]struct {
		new               string
		stop, keep, start map[string]string
	}{
		"nothing": {planBase, nil, set("a", "b", "c"), nil},
		"another version, another order, an unused volume": {`
version: v2
services:
  - {name: c, image: i}
  - {name: b, image: i, networks: [net]}
  - {name: a, image: i, replica: 1, mounts: [{name: v, path: p}]}
volumes: [{name: v, path: x/1}]
networks: {net: {driver: bridge}}
`, nil, set("a", "b", "c"), nil},
		"everything removed": {"{}", map[string]string{"a": "removed", "b": "removed", "c": "removed"}, nil, nil},
		"volume, network and keys": {`
services:
  - {name: a, image: i, replica: 1, mounts: [{name: v, path: p}]}
  - {name: b, image: i, networks: [net]}
  - {name: c, image: j, env: {K: V}}
  - {name: d, image: i}
volumes: [{name: v, path: x/2}]
networks: {net: {labels: {l: m}}}
`,
			map[string]string{"a": "volume v changed", "b": "network net changed", "c": "env, image changed"}, nil,
			map[string]string{"a": "volume v changed", "b": "network net changed", "c": "env, image changed", "d": "new"}},
		"user, stop and owner": {`
services:
  - {name: a, image: i, replica: 1, mounts: [{name: v, path: p}]}
  - {name: b, image: i, networks: [net], user: root}
  - {name: c, image: i, stop: {grace: 1s}}
volumes: [{name: v, path: x/1, owner: b}]
networks: {net: {}}
`,
			map[string]string{"a": "volume v changed", "b": "user changed", "c": "stop changed"}, nil,
			map[string]string{"a": "volume v changed", "b": "user changed", "c": "stop changed"}},
		"what is the default anyway": {`
services:
  - {name: a, image: i, replica: 1, mounts: [{name: v, path: p}], stop: {grace: 0}}
  - {name: b, image: i, networks: [net], stop: {}}
  - {name: c, image: i, user: '', stop: {}}
volumes: [{name: v, path: x/1, owner: ''}]
networks: {net: {}}
`, nil, set("a", "b", "c"), nil},
		"a signal where the image's held": {`
services:
  - {name: a, image: i, replica: 1, mounts: [{name: v, path: p}], stop: {signal: term}}
  - {name: b, image: i, networks: [net]}
  - {name: c, image: i}
volumes: [{name: v, path: x/1}]
networks: {net: {}}
`, map[string]string{"a": "stop changed"}, set("b", "c"), map[string]string{"a": "stop changed"}},
		"replaced": {`
services:
  - {name: a, image: i, replica: 1, mounts: [{name: v, path: p}]}
  - {name: b, image: i, networks: [net]}
  - {name: e, image: i}
volumes: [{name: v, path: x/1}]
networks: {net: }
`, map[string]string{"c": "removed"}, set("a", "b"), map[string]string{"e": "new"}},
	} {
		t.Run(name, func(t *testing.T) {
			old, err := app.Parse("old", []byte(planBase))
			require.NoError(t, err)
			next, err := app.Parse("new", []byte(c.new))
			require.NoError(t, err)
			p, err := application.Diff(old, next)
			require.NoError(t, err)
			require.Equal(t, orEmpty(c.stop), reasons(p.Stop))
			require.Equal(t, orEmpty(c.keep), set(p.Keep...))
			require.Equal(t, orEmpty(c.start), reasons(p.Start))
		})
	}
}

func set(names ...string) map[string]string {
	out := map[string]string{}
	for _, n := range names {
		out[n] = ""
	}
	return out
}

func reasons(changes []application.Change) map[string]string {
	out := map[string]string{}
	for _, c := range changes {
		out[c.Service.Name] = c.Reason
	}
	return out
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}
