package update

import "testing"

func FuzzMetadata(f *testing.F) {
	const meta = "{url: http://c/x, md5: 1B2M2Y8AsgTpgAmY7PhCfg==}"
	f.Add("version: v1\nvolumes: [{name: x, path: var/db/baetyl/x, meta: " + meta + "}]")
	f.Add("volumes: [{name: {{.HOME}}, path: ..}]")
	f.Fuzz(func(t *testing.T, text string) {
		var m metadata
		if parseMetadata([]byte(text), &m) != nil || m.check() != nil {
			return
		}
		for _, v := range m.downloads() {
			if err := v.Check(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
