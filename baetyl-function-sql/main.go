// Command baetyl-function-sql is the function runtime for SQL: a function's handler is a statement.
package main

import (
	"context"
	"fmt"

	"github.com/baetyl/baetyl/baetyl-function-sql/eval"
	"github.com/baetyl/baetyl/baetyl-function-sql/parse"
	baetyl "github.com/baetyl/baetyl/sdk/baetyl-go"
)

type config struct {
	Functions []struct {
		Name    string `yaml:"name" json:"name" validate:"nonzero"`
		Handler string `yaml:"handler" json:"handler" validate:"nonzero"`
	} `yaml:"functions" json:"functions" validate:"min=1"`
	Server baetyl.FServerConfig `yaml:"server" json:"server"`

	statements map[string]*parse.Statement
}

// Validate parses the statements.
func (c *config) Validate() error {
	c.statements = map[string]*parse.Statement{}
	for i, f := range c.Functions {
		s, err := parse.Parse(f.Handler)
		if err == nil {
			err = eval.Check(s)
		}
		if err != nil {
			return fmt.Errorf("functions[%d].handler: %w", i, err)
		}
		if c.statements[f.Name] != nil {
			return fmt.Errorf("functions[%d].name: %q is there twice", i, f.Name)
		}
		c.statements[f.Name] = s
	}
	return nil
}

func main() {
	baetyl.Run(func(ctx baetyl.Context) error {
		var cfg config
		if err := ctx.LoadConfig(&cfg); err != nil {
			return err
		}
		return baetyl.ServeFunction(ctx, func(_ context.Context, m *baetyl.FunctionMessage) (*baetyl.FunctionMessage, error) {
			s := cfg.statements[m.FunctionName]
			if s == nil {
				return nil, fmt.Errorf("function not found")
			}
			out, err := eval.Run(s, eval.Message{Topic: m.Topic, QOS: m.QOS, Payload: m.Payload})
			if err != nil {
				return nil, fmt.Errorf("('[UserCodeInvoke]', %w)", err)
			}
			m.Payload = out
			return m, nil
		})
	})
}
