package eval_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/baetyl/baetyl/utils/sql/eval"
)

// Messages that run side by side, and one after the other, have nothing of each other: rows are used again.
func TestRowsAreApart(t *testing.T) {
	q, err := compile("select *, topic() as t, 1 as deep.x where id >= 0")
	require.NoError(t, err)
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 200 {
				m := eval.Message{Topic: fmt.Sprint(g), Payload: fmt.Appendf(nil, `{"id":%d,"deep":{"y":%d},"a":"%s"}`, i, g,
					strings.Repeat("x", g))}
				out, err := q.Run(m)
				assert.NoError(t, err)
				assert.Equal(t, fmt.Sprintf(`{"a":"%s","deep":{"x":1,"y":%d},"id":%d,"t":"%d"}`, strings.Repeat("x", g), g, i, g),
					string(out))
				_, err = q.Run(eval.Message{Payload: []byte(`{"id":"x"}`)})
				assert.Error(t, err)
				_, err = q.Run(eval.Message{Payload: []byte(`{"id":1,"id`)})
				assert.Error(t, err)
				out, err = q.Run(eval.Message{Payload: []byte(`{}`)})
				assert.NoError(t, err, "the error of another message")
				assert.Nil(t, out)
			}
		})
	}
	all.Wait()
}
