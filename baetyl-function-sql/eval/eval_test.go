package eval_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/baetyl-function-sql/eval"
	"github.com/baetyl/baetyl/baetyl-function-sql/parse"
)

func TestRun(t *testing.T) {
	for _, c := range [][3]string{
		{"select qos() as qos, topic() as topic, * where id < 10", `{"id":1}`, `{"id":1,"qos":0,"topic":"t"}`},
		{"select qos() as qos, topic() as topic, * where id < 10", `{"id":10}`, ``},
		{"select a[1].b as x.y, n + 1 as n", `{"a":[0,{"b":1.10}],"n":9007199254740993}`, `{"n":9007199254740994,"x":{"y":1.10}}`},
		{"select * where not a between 1 and 2 and b in ('x', null)", `{"a":3,"b":"x"}`, `{"a":3,"b":"x"}`},
		{"select *", `{"a":"<"}`, `{"a":"<"}`},
	} {
		s, err := parse.Parse(c[0])
		require.NoError(t, err, c[0])
		require.NoError(t, eval.Check(s))
		out, err := eval.Run(s, eval.Message{Topic: "t", Payload: []byte(c[1])})
		require.NoError(t, err, c[0])
		require.Equal(t, c[2], string(out), c[0])
	}
}

func FuzzParse(f *testing.F) {
	f.Add("select a.*, -b as c where x is not null")
	f.Fuzz(func(t *testing.T, src string) { parse.Parse(src) })
}
