package masterapi

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzExecFrame(f *testing.F) {
	f.Add(AppendExecFrame(nil, ExecStart, []byte(`{"args":["true"]}`)))
	f.Add(AppendExecFrame(AppendExecFrame(nil, ExecInput, nil), ExecResize, ExecSize{24, 80}.Body()))
	f.Add([]byte{2, 0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{3, 0, 0, 0, 1, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		for {
			before := len(data) - r.Len()
			kind, body, err := ReadExecFrame(r)
			if err != nil {
				return
			}
			require.Equal(t, data[before:len(data)-r.Len()], AppendExecFrame(nil, kind, body))
			switch kind {
			case ExecTaken, ExecExit:
				require.Equal(t, body, ExecNumber(ParseExecNumber(body)))
			case ExecResize:
				require.Equal(t, body, ParseExecSize(body).Body())
			}
		}
	})
}

func TestExecRequestIsChecked(t *testing.T) {
	for text, r := range map[string]ExecRequest{
		"args: name a program":      {},
		"args[1]: has a zero byte":  {Args: []string{"a", "\x00"}},
		`env: "A=B" is not`:         {Args: []string{"a"}, Env: map[string]string{"A=B": ""}},
		`dir: "x" is not an absolu`: {Args: []string{"a"}, Dir: "x"},
	} {
		require.ErrorContains(t, r.Validate(), text)
	}
	require.NoError(t, ExecRequest{Args: []string{"a", ""}, Dir: "/"}.Validate())
}
