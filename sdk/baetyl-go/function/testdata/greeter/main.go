// A function in Go: it greets.
package main

import (
	"context"
	"errors"

	"github.com/baetyl/baetyl/sdk/baetyl-go/function"
)

func main() {
	function.Run(func(ctx context.Context, m *function.Message) ([]byte, error) {
		if len(m.Payload) == 0 {
			return nil, errors.New("nobody to greet")
		}
		return append([]byte("hello "), m.Payload...), nil
	})
}
