// A function in Go: it greets.
package main

import (
	"context"
	"errors"

	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
)

func main() {
	baetyl.RunFunction(func(ctx context.Context, m *baetyl.FunctionMessage) ([]byte, error) {
		if len(m.Payload) == 0 {
			return nil, errors.New("nobody to greet")
		}
		return append([]byte("hello "), m.Payload...), nil
	})
}
