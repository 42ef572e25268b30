package sql

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/baetyl/baetyl/sdk/baetyl-go/function"
	"github.com/baetyl/baetyl/utils/sql/eval"
	"github.com/baetyl/baetyl/utils/sql/parse"
)

// config is the module's part of service.yml.
type config struct {
	Functions []struct {
		Name    string `yaml:"name" json:"name" validate:"nonzero"`       // what the function manager calls
		Handler string `yaml:"handler" json:"handler" validate:"nonzero"` // the statement
	} `yaml:"functions" json:"functions" validate:"nonzero"`
	Server function.ServerConfig `yaml:"server" json:"server"` // the SDK reads it

	queries map[string]*eval.Query // by name
}

// Complete compiles the statements.
func (c *config) Complete() {
	c.queries = map[string]*eval.Query{}
	for _, f := range c.Functions {
		if q, err := compile(f.Handler); err == nil { // Validate returns the error
			c.queries[f.Name] = q
		}
	}
}

// Validate checks the statements.
func (c *config) Validate() error {
	known := map[string]int{}
	for i, f := range c.Functions {
		if _, err := compile(f.Handler); err != nil {
			return fmt.Errorf("functions[%d].handler: %w", i, err)
		}
		if j, ok := known[f.Name]; ok {
			return fmt.Errorf("functions[%d].name: %q is the name of functions[%d] too; names must be unique", i, f.Name, j)
		}
		known[f.Name] = i
	}
	if c.Server.Address == "" { // the environment gives it
		return nil
	}
	if err := c.Server.Validate(); err != nil {
		return fmt.Errorf("server.%w", err)
	}
	return nil
}

func compile(statement string) (*eval.Query, error) {
	s, err := parse.Parse(statement)
	if err != nil {
		return nil, err
	}
	return eval.Compile(s)
}

// errUnknown has the text that the other runtimes have. The SDK puts "Exception calling application: " before it.
var errUnknown = errors.New("function not found")

// run replaces the payload by the result; it is empty if the condition does not hold.
func (c *config) run(m *function.Message) (*function.Message, error) {
	q := c.queries[m.FunctionName]
	if q == nil {
		return nil, errUnknown
	}
	out, err := q.Run(eval.Message{Topic: m.Topic, QOS: m.QOS, Payload: m.Payload, Now: time.Now()})
	if err != nil {
		return nil, fmt.Errorf("('[UserCodeInvoke]', %s)", short(err.Error()))
	}
	m.Payload = out
	return m, nil
}

// maxDetail is the most bytes of an error in an answer: an error may quote a part of a large message.
const maxDetail = 4000

func short(detail string) string {
	if len(detail) <= maxDetail {
		return detail
	}
	return strings.ToValidUTF8(detail[:maxDetail], "") + "…"
}
