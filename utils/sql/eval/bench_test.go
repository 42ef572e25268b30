package eval_test

import (
	"strings"
	"testing"

	"github.com/baetyl/baetyl/utils/sql/eval"
)

// BenchmarkFilter runs statements on a small message, and on one of 1 kB; its first case parses the statement as well.
func BenchmarkFilter(b *testing.B) {
	small := `{"id":1,"text":"0123456789"}`
	values := strings.Repeat(`{"name":"temperature","value":21.5,"ok":true},`, 20)
	large := `{"id":1,"device":"sensor-7","values":[` + values + `{}]}`
	const expressions = "select upper(text) as a.u, id * 1.5 + 2 as a.n, " +
		"case when text like '0%9' then 1 else 2 end as c where id in (1, 2) and text is not null"
	const example = "select qos() as qos, topic() as topic, * where id < 10"
	for _, c := range []struct{ name, statement, payload string }{
		{"parse", example, small},
		{"example", example, small},
		{"example 1kB", example, large},
		{"no match", "select * where id > 10", small},
		{"expressions", expressions, small},
	} {
		b.Run(c.name, func(b *testing.B) {
			q, err := compile(c.statement)
			m := eval.Message{Topic: "t", Payload: []byte(c.payload), Now: now}
			b.ReportAllocs()
			for b.Loop() {
				if c.name == "parse" {
					q, err = compile(c.statement)
				}
				if err == nil {
					_, err = q.Run(m)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
